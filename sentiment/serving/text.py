"""From a text to token ids: split into words by one of two tokenizers, and numbered.

`keras` has the rules by which Keras' IMDB files were made: those by which the raw reviews of Maas
et al. 2011 give just those files. ASCII letters are lower-cased and no others; each of `SEPARATORS`
separates words, the apostrophe does not, so that `<br />` leaves the word `br`. Spaces of other
kinds, and the carriage return of Windows' line ends, separate nothing.

`unicode` splits at the word boundaries of Unicode's annex 29 and lower-cases as `str.lower` does. A
word begins with a letter, a digit or `_`; all else, emoji among it, is dropped. Scripts without
spaces, such as Chinese and Thai, it splits into characters, since their words need a dictionary.

By both, words that are not in the index are dropped.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .sequences import Layout, Reviews, pad

SEPARATORS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n '
WORD = re.compile(f"[^{re.escape(SEPARATORS)}]+")
LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
KERAS, UNICODE = TOKENIZERS = ["keras", "unicode"]


class Rules(NamedTuple):
    """A tokenizer: what finds the words of a text, and how each is written."""

    find: Callable[[str], Iterator[re.Match[str]]]
    lower: Callable[[str], str]


class Word(NamedTuple):
    """A word of a text that is in the index: its place, and its frequency rank."""

    start: int
    end: int
    rank: int


@cache
def rules(tokenizer: str) -> Rules:
    """The rules of the tokenizer of this name; ValueError if there is none."""
    if tokenizer == KERAS:
        return Rules(WORD.finditer, lambda word: word.translate(LOWER))
    if tokenizer == UNICODE:
        import regex  # what is served with the other one does without it

        boundaries = regex.compile(r"(?w)\b\w.*?\b", regex.DOTALL)
        return Rules(boundaries.finditer, str.lower)
    raise ValueError(f"There is no tokenizer {tokenizer!r}, but {' and '.join(TOKENIZERS)}")


def words(text: str, tokenizer: str = KERAS) -> list[str]:
    """The words of a text, whether or not an index has them."""
    find, lower = rules(tokenizer)
    return [lower(match[0]) for match in find(text)]


def known_words(text: str, ranks: Mapping[str, int], tokenizer: str = KERAS) -> list[Word]:
    """The words of a text that are in the index `ranks` (word to frequency rank), in order."""
    find, lower = rules(tokenizer)
    found = ((match, ranks.get(lower(match[0]))) for match in find(text))
    return [Word(match.start(), match.end(), rank) for match, rank in found if rank is not None]


def as_words(ranks: Iterable[int]) -> list[Word]:
    """Words of a review whose text is not known, which have no place in it."""
    return [Word(0, 0, int(rank)) for rank in ranks]


def encode(
    texts: Iterable[str], ranks: Mapping[str, int], layout: Layout, tokenizer: str = KERAS
) -> NDArray[Any]:
    """Turn texts into padded token ids.

    Args:
        texts: any texts; one without a known word becomes a start mark alone.
        ranks: word to frequency rank, 1 = most frequent.
        layout: how a row is laid out.
        tokenizer: how they are split into words.

    Returns:
        Shape (texts, max_length), of `token_dtype`.
    """
    return pad_words([known_words(text, ranks, tokenizer) for text in texts], layout)


def pad_words(texts: Sequence[Sequence[Word]], layout: Layout) -> NDArray[Any]:
    """Do that for texts whose words are known already."""
    reviews = [[word.rank for word in words] for words in texts]
    unlabelled = np.zeros(len(reviews), np.uint8)
    return pad(Reviews.from_lists(reviews, unlabelled), np.arange(len(reviews)), layout)
