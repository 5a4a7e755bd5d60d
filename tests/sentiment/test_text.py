"""A text gets the token ids that Keras' files would have for it."""

import random
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

import numpy as np
import pytest

from sentiment import text
from sentiment.data.imdb import parse
from sentiment.padding import layout
from sentiment.text import Layout
from tests.conftest import defaults
from workflow import downloads
from workflow.params import Params, check_params

Imdb = tuple[text.Reviews, text.Reviews, dict[str, int]]
UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)
RANKS = {"the": 1, "isn't": 2, "it": 3, "br": 4, "åge": 5, "Åge": 6, "rare": 20, "naïve": 7}
RANKS |= {"i̇yi": 8, "i̇yi̇": 9, "film": 10}


@pytest.fixture
def options(default_params: Params) -> Layout:
    return replace(layout(default_params.pad), num_words=12, max_length=6)


def encode(texts: list[str], ranks: dict[str, int], options: Layout) -> np.ndarray:
    return text.pad_words([text.known_words(content, ranks) for content in texts], options)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("the it", [1, 3]),
        ("THE It", [1, 3]),
        ("the,it.(the)!it", [1, 3, 1, 3]),
        ("the\tit\nthe", [1, 3, 1]),
        ("it isn't the", [3, 2, 1]),
        ("it<br /><br />the", [3, 4, 4, 1]),
        ("Åge åge", [6, 5]),  # a letter that is not ASCII keeps its case
        ("naïve NAïVE NAÏVE", [7, 7]),
        ("unheard the of it", [1, 3]),
        ("it\u00a0the", []),  # no-break space separates nothing, as in the files
        ("", []),
        ("?!", []),
    ],
)
def test_words_are_found_by_the_rules_of_the_files(content: str, expected: list[int]) -> None:
    assert [word.rank for word in text.known_words(content, RANKS)] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Ça m'a plu, c'est l’été !", ["ça", "m'a", "plu", "c'est", "l’été"]),
        ("ΣΊΣΥΦΟΣ — Straße", ["σίσυφος", "straße"]),
        ("3.14 and 1,000 e-mail", ["3.14", "and", "1,000", "e", "mail"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),  # a mark belongs to its letter
        ("it\u00a0the", ["it", "the"]),
        ("я тебя\nlove 👍🏽 …", ["я", "тебя", "love"]),
        ("我喜欢", ["我", "喜", "欢"]),  # its words need a dictionary
        ("?! —", []),
    ],
)
def test_words_end_at_the_boundaries_of_unicode(content: str, expected: list[str]) -> None:
    assert text.words(content, "unicode") == expected


@pytest.mark.parametrize(
    ("content", "tokenizer", "shown"),
    [
        ("Well, THE naïve isn't", "keras", ["THE", "naïve", "isn't"]),
        ("İyi, İYİ film", "unicode", ["İyi", "İYİ", "film"]),  # lower case makes two letters of İ
    ],
)
def test_words_say_where_they_stand(content: str, tokenizer: str, shown: list[str]) -> None:
    words = text.known_words(content, RANKS, tokenizer)
    assert [content[word.start : word.end] for word in words] == shown


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("the it", [0, 0, 0, 1, 4, 6]),
        ("rare", [0, 0, 0, 0, 1, 2]),
        ("", [0, 0, 0, 0, 0, 1]),
        ("unheard", [0, 0, 0, 0, 0, 1]),
        ("the " * 5 + "it", [4, 4, 4, 4, 4, 6]),
        ("the " * 100_000 + "it", [4, 4, 4, 4, 4, 6]),
    ],
)
def test_a_text_is_marked_and_padded(content: str, expected: list[int], options: Layout) -> None:
    assert encode([content], RANKS, options).tolist() == [expected]
    assert encode([], RANKS, options).shape == (0, 6)


@pytest.fixture(scope="module")
def imdb(imdb_cache: Path) -> Imdb:
    params = check_params(defaults(), "params.yaml").fetch
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(imdb_cache.parent))
        return parse(*downloads.imdb(params))


def as_typed(words: list[str], rng: random.Random) -> str:
    """The words as a person might have typed them: with capitals, marks, breaks and strangers."""
    typed = []
    for word in words:
        shown = word.translate(UPPER) if rng.random() < 0.2 else word
        if word == "br":
            shown = rng.choice(["<br />", "<BR/>", "br"])
        mark = rng.choice(["", ",", "...", "!?", ' "', ")", " -", " zzunheardzz", "\n\t"])
        typed.append(f"{shown}{mark}")
    return " ".join(typed)


@pytest.mark.parametrize("part", [0, 1])
def test_imdb_s_reviews_get_their_official_sequences(
    part: int, imdb: Imdb, default_params: Params
) -> None:
    reviews, ranks = imdb[part], imdb[2]
    assert isinstance(reviews, text.Reviews)
    words = ["", *sorted(ranks, key=ranks.__getitem__)]
    chosen = np.arange(0, len(reviews), 25)
    rng = random.Random(0)
    texts = [as_typed([words[rank] for rank in reviews[n]], rng) for n in chosen.tolist()]
    encoded = encode(texts, ranks, layout(default_params.pad))
    expected = text.pad(reviews, chosen, layout(default_params.pad))
    np.testing.assert_array_equal(encoded, expected)
    assert encoded.dtype == expected.dtype


def test_a_text_as_published_gets_its_official_sequence(imdb: Imdb, default_params: Params) -> None:
    """The beginning of Keras' first review, whose sequence its documentation prints."""
    raw = (
        "This film was just brilliant, casting, location, scenery, story, direction; "
        "everyone's really suited the part they played"
    )
    row = encode([raw], imdb[2], layout(default_params.pad))[0]
    official = [1, 14, 22, 16, 43, 530, 973, 1622, 1385, 65, 458, 4468, 66, 3941, 4, 173]
    assert row[np.flatnonzero(row)][: len(official)].tolist() == official
