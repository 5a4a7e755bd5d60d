"""Turn texts into words, and look up the words' ranks.

The tokenizer `keras` follows the rules by which Keras' IMDB files were made: applied to the raw
reviews of Maas et al. 2011, it gives exactly these files. It lower-cases ASCII letters and no
others. Each of `SEPARATORS` separates words, so that `<br />` leaves the word `br`. The apostrophe,
other kinds of spaces and the carriage return of Windows' line ends do not separate words.

The tokenizer `unicode` splits at the word boundaries of Unicode's annex 29 and lower-cases like
`str.lower`. A word starts with a letter, a digit or `_`. Everything else, such as emoji, is
dropped. Scripts without spaces, such as Chinese and Thai, are split into characters, because their
words need a dictionary.

When a text is encoded, words that are not in the word index are left out.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from string import ascii_lowercase, ascii_uppercase
from typing import NamedTuple

SEPARATORS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n '
WORD = re.compile(f"[^{re.escape(SEPARATORS)}]+")
LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
# Only ASCII characters are translated. UTF-8 encodes all others without ASCII bytes.
SPACED = bytes.maketrans(
    (SEPARATORS + ascii_uppercase).encode(), (" " * len(SEPARATORS) + ascii_lowercase).encode()
)
KERAS = "keras"
UNICODE = "unicode"


class Word(NamedTuple):
    """The word at `text[start:end]`, which is in the word index, and its frequency rank."""

    start: int
    end: int
    rank: int


class Encoded(NamedTuple):
    """An encoded text.

    Attributes:
        ranks: the frequency ranks of its words that are in the word index, in order.
        word_count: number of all its words.
    """

    ranks: list[int]
    word_count: int

    def count_unknown(self, max_rank: int) -> int:
        """Return the number of words that have no rank, or a rank above a maximum."""
        known = [rank for rank in self.ranks if rank <= max_rank]
        return self.word_count - len(known)


@cache
def tokenizer_functions(
    tokenizer: str,
) -> tuple[Callable[[str], Iterator[re.Match[str]]], Callable[[str], str]]:
    """Return two functions of a tokenizer: one finds a text's words, one normalizes a word."""
    if tokenizer == KERAS:
        return WORD.finditer, lambda word: word.translate(LOWER)
    import regex  # not a requirement of models with the other tokenizer

    boundaries = regex.compile(r"(?w)\b\w.*?\b", regex.DOTALL)
    return boundaries.finditer, str.lower


def tokenize(text: str, tokenizer: str) -> list[str]:
    """Return all words of a text."""
    if tokenizer == KERAS:  # the same as below, but faster
        spaced = text.encode("utf-8", "surrogatepass").translate(SPACED)
        return list(filter(None, spaced.decode("utf-8", "surrogatepass").split(" ")))
    find, normalize = tokenizer_functions(tokenizer)
    return [normalize(match[0]) for match in find(text)]


def tokenize_with_spans(text: str, word_index: Mapping[str, int], tokenizer: str) -> list[Word]:
    """Return the words of a text that are in the word index, with their positions, in order.

    Args:
        word_index: the frequency rank of each word, from 1.
        tokenizer: `KERAS` or `UNICODE`.
    """
    find, normalize = tokenizer_functions(tokenizer)
    ranked = ((match, word_index.get(normalize(match[0]))) for match in find(text))
    return [Word(match.start(), match.end(), rank) for match, rank in ranked if rank is not None]


def encode(text: str, word_index: Mapping[str, int], tokenizer: str) -> Encoded:
    """Encode a text. This is faster than `tokenize_with_spans`, and finds the same words."""
    words = tokenize(text, tokenizer)
    return Encoded([*filter(None, map(word_index.get, words))], len(words))  # ranks start at 1
