"""A text gets the token ids that it has in Keras' files."""

import json
import string

import pytest
from hypothesis import example, given, settings
from hypothesis.strategies import characters
from hypothesis.strategies import text as hypothesis_texts

from sentiment.data import imdb
from sentiment.text import tokenizer

RANKS = {"the": 1, "isn't": 2, "it": 3, "br": 4, "åge": 5, "Åge": 6, "rare": 20, "naïve": 7}
RANKS |= {"i̇yi": 8, "i̇yi̇": 9, "film": 10}


def test_keras_tokenizer_follows_the_rules_of_the_imdb_files() -> None:
    expected = {
        "THE It": [1, 3],
        "the,it.(the)!it ?!": [1, 3, 1, 3],
        "the\tit\nthe": [1, 3, 1],
        "NAïVE NAÏVE isn't the": [7, 2, 1],
        "it<br /><br />the": [3, 4, 4, 1],
        "Åge åge": [6, 5],  # a letter that is not ASCII keeps its case
        "unheard the of it": [1, 3],
        "it\u00a0the": [],  # no-break space separates nothing, as in the files
    }
    words = {
        content: tokenizer.tokenize_with_spans(content, RANKS, tokenizer.KERAS)
        for content in expected
    }
    assert {content: [word.rank for word in words[content]] for content in words} == expected


@settings(database=None, deadline=None)
@given(hypothesis_texts(alphabet=characters(exclude_categories=[])))
@example(string.printable * 2)
def test_words_with_and_without_spans_are_equal(content: str) -> None:
    for name in (tokenizer.KERAS, tokenizer.UNICODE):
        words = tokenizer.tokenize(content, name)
        index = {word: rank for rank, word in enumerate(words[::2], 1)}
        encoded = tokenizer.encode(content, index, name)
        spans = tokenizer.tokenize_with_spans(content, index, name)
        assert encoded == ([word.rank for word in spans], len(words))
        written = [index[tokenizer.tokenize(content[w.start : w.end], name)[0]] for w in spans]
        assert encoded.ranks == written


def test_each_word_of_imdb_keeps_its_published_rank() -> None:
    index = imdb.cache_folder() / imdb.WORD_INDEX
    if not index.is_file():
        pytest.skip(f"{index} is missing; `dvc repro` downloads it")
    ranks = json.loads(index.read_bytes())
    words = sorted(ranks, key=ranks.__getitem__)
    capitals = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
    encoded = tokenizer.encode(", ".join(words).translate(capitals), ranks, tokenizer.KERAS)
    assert encoded == (list(range(1, len(words) + 1)), len(words))


def test_unicode_tokenizer_splits_at_word_boundaries() -> None:
    expected = {
        "Ça m'a plu, c'est l’été !": ["ça", "m'a", "plu", "c'est", "l’été"],
        "ΣΊΣΥΦΟΣ — Straße": ["σίσυφος", "straße"],
        "e\u0301te\u0301": ["e\u0301te\u0301"],  # a mark belongs to its letter
        "я тебя\nlove 👍🏽 …": ["я", "тебя", "love"],
        "我喜欢": ["我", "喜", "欢"],  # its words need a dictionary
    }
    assert {content: tokenizer.tokenize(content, "unicode") for content in expected} == expected


def test_words_have_their_spans() -> None:
    content = "İyi, İYİ film"  # lower case makes two letters of İ
    words = tokenizer.tokenize_with_spans(content, RANKS, "unicode")
    assert [content[word.start : word.end] for word in words] == ["İyi", "İYİ", "film"]


def test_words_without_a_rank_or_with_a_greater_one_are_unknown() -> None:
    assert tokenizer.Encoded([8, 9, 1], word_count=5).count_unknown(8) == 3
