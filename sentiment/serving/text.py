"""From a text to token ids, by the rules by which Keras' IMDB files were made.

The rules by which the raw reviews of Maas et al. 2011 give just those files: ASCII letters are
lower-cased and no others; each of `SEPARATORS` separates words, the apostrophe does not, so that
`<br />` leaves the word `br`; words that are not in the index are dropped.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .sequences import Layout, Reviews, pad

SEPARATORS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n '
WORD = re.compile(f"[^{re.escape(SEPARATORS)}]+")
LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


class Word(NamedTuple):
    """A word of a text that is in the index: its place, and its frequency rank."""

    start: int
    end: int
    rank: int


def known_words(text: str, ranks: Mapping[str, int]) -> list[Word]:
    """The words of a text that are in the index `ranks` (word to frequency rank), in order."""
    found = ((match, ranks.get(match[0].translate(LOWER))) for match in WORD.finditer(text))
    return [Word(match.start(), match.end(), rank) for match, rank in found if rank is not None]


def as_words(ranks: Iterable[int]) -> list[Word]:
    """Words of a review whose text is not known, which have no place in it."""
    return [Word(0, 0, int(rank)) for rank in ranks]


def encode(texts: Iterable[str], ranks: Mapping[str, int], layout: Layout) -> NDArray[Any]:
    """Turn texts into padded token ids.

    Args:
        texts: any texts; one without a known word becomes a start mark alone.
        ranks: word to frequency rank, 1 = most frequent.
        layout: how a row is laid out.

    Returns:
        Shape (texts, max_length), of `token_dtype`.
    """
    return pad_words([known_words(text, ranks) for text in texts], layout)


def pad_words(texts: Sequence[Sequence[Word]], layout: Layout) -> NDArray[Any]:
    """Do that for texts whose words are known already."""
    reviews = [[word.rank for word in words] for words in texts]
    unlabelled = np.zeros(len(reviews), np.uint8)
    return pad(Reviews.from_lists(reviews, unlabelled), np.arange(len(reviews)), layout)
