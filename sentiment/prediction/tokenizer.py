"""Turn texts into token ids: tokenize them, look up the words' ranks, and pad the rows.

This module travels with each registered model. Texts are therefore encoded by the same code as the
training data when the model is served.

The tokenizer `keras` follows the rules by which Keras' IMDB files were made: applied to the raw
reviews of Maas et al. 2011, it gives exactly these files. It lower-cases ASCII letters and no
others. Each of `SEPARATORS` separates words, so that `<br />` leaves the word `br`. The apostrophe,
other kinds of spaces and the carriage return of Windows' line ends do not separate words.

The tokenizer `unicode` splits at the word boundaries of Unicode's annex 29 and lower-cases like
`str.lower`. A word starts with a letter, a digit or `_`. Everything else, such as emoji, is
dropped. Scripts without spaces, such as Chinese and Thai, are split into characters, because their
words need a dictionary.

Both drop words that are not in the word index.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

# Token ids that are not words, as in `keras.datasets.imdb.load_data`.
PADDING_TOKEN = 0  # the token id that Keras' layers mask
START_TOKEN = 1  # before the first word of a review
UNKNOWN_TOKEN = 2  # replaces rare words
INDEX_FROM = 3  # a word's token id is its frequency rank plus this

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


def tokenize(text: str, tokenizer: str = KERAS) -> list[str]:
    """Return all words of a text."""
    if tokenizer == KERAS:  # the same as below, but faster
        spaced = text.encode("utf-8", "surrogatepass").translate(SPACED)
        return list(filter(None, spaced.decode("utf-8", "surrogatepass").split(" ")))
    find, normalize = tokenizer_functions(tokenizer)
    return [normalize(match[0]) for match in find(text)]


def tokenize_with_spans(
    text: str, word_index: Mapping[str, int], tokenizer: str = KERAS
) -> list[Word]:
    """Return the words of a text that are in the word index, with their positions, in order.

    Args:
        text: the text.
        word_index: the frequency rank of each word, from 1.
        tokenizer: `KERAS` or `UNICODE`.
    """
    find, normalize = tokenizer_functions(tokenizer)
    ranked = ((match, word_index.get(normalize(match[0]))) for match in find(text))
    return [Word(match.start(), match.end(), rank) for match, rank in ranked if rank is not None]


def encode(text: str, word_index: Mapping[str, int], tokenizer: str = KERAS) -> Encoded:
    """Encode a text. It has the same words as by `tokenize_with_spans`, but is faster."""
    words = tokenize(text, tokenizer)
    return Encoded([*filter(None, map(word_index.get, words))], len(words))  # ranks start at 1


class ReadLimits(NamedTuple):
    """The limits of what a model reads of a text.

    Attributes:
        max_rank: greatest rank of a word with a token id of its own.
        max_words: greatest number of words of the word index that are read.
    """

    max_rank: int
    max_words: int

    @classmethod
    def of_layout(cls, layout: "Layout") -> Self:
        """Return the limits of a network that reads rows of this layout."""
        # The start token takes one column.
        return cls(layout.num_words - INDEX_FROM - 1, layout.max_length - 1)

    def count_unknown(self, text: Encoded) -> int:
        """Return the number of words that the model cannot tell from any other unknown word."""
        max_rank = self.max_rank  # a lookup for each word would take longer than everything else
        rare = [rank for rank in text.ranks if rank > max_rank]
        return text.word_count - len(text.ranks) + len(rare)

    def is_truncated(self, text: Encoded) -> bool:
        """Return whether the model ignores some words of a text because of their number."""
        return len(text.ranks) > self.max_words


@dataclass(frozen=True)
class Layout:
    """The params by which a review becomes a row of token ids: the section `pad` in a model."""

    num_words: int
    max_length: int
    padding: Literal["pre", "post"]
    truncating: Literal["pre", "post"]


@dataclass(frozen=True)
class Reviews:
    """Reviews and their labels. `reviews[i]` has the word ranks of review i, shape (its words,).

    Attributes:
        tokens: the frequency ranks of all words, 1 = most frequent, shape (words,).
        offsets: review i is `tokens[offsets[i]:offsets[i + 1]]`, shape (reviews + 1,).
        labels: 1 = positive, 0 = negative, shape (reviews,).
    """

    tokens: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.uint8]

    @classmethod
    def from_lists(cls, reviews: Sequence[Sequence[int]], labels: NDArray[np.integer]) -> Self:
        """Join lists of ranks into flat arrays."""
        lengths = np.fromiter(map(len, reviews), np.int64, len(reviews))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        tokens = np.fromiter(chain.from_iterable(reviews), np.uint32, int(offsets[-1]))
        return cls(tokens, offsets, labels.astype(np.uint8))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, review: int) -> NDArray[np.uint32]:
        return self.tokens[self.offsets[review] : self.offsets[review + 1]]

    def __iter__(self) -> Iterator[NDArray[np.uint32]]:
        return (self[review] for review in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of words of each review, shape (reviews,)."""
        return np.diff(self.offsets)

    def count_rarer(self, rank: int) -> NDArray[np.int64]:
        """Return the number of each review's words with a greater rank, shape (reviews,)."""
        rarer = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.tokens > rank)])
        return np.diff(rarer[self.offsets])


def token_dtype(num_words: int) -> DTypeLike:
    """Return the smallest unsigned type that holds all token ids below `num_words`."""
    return np.min_scalar_type(num_words - 1)


def pad(reviews: Reviews, order: NDArray[np.int64], layout: Layout) -> NDArray[Any]:
    """Return a row for each review in `order`: start token, token ids and padding.

    A token id is the word's rank plus `INDEX_FROM`. Rare words get the unknown token.

    Args:
        reviews: the reviews.
        order: positions of the reviews, shape (rows,).
        layout: how a review becomes a row.

    Returns:
        Shape (rows, max_length), of `token_dtype`.
    """
    position, inside = positions(reviews.lengths[order] + 1, layout)
    words = reviews.offsets[order][:, None] + position - 1
    is_word = inside & (position > 0)
    padded = np.full(position.shape, PADDING_TOKEN, token_dtype(layout.num_words))
    padded[inside & (position == 0)] = START_TOKEN
    ids = reviews.tokens[words[is_word]] + np.uint32(INDEX_FROM)
    ids[ids >= layout.num_words] = UNKNOWN_TOKEN
    padded[is_word] = ids
    return padded


def positions(
    lengths: NDArray[np.int64], layout: Layout
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return which position of its sequence each cell of the padded rows holds.

    Args:
        lengths: number of tokens of each sequence, including the start token, shape (rows,).
        layout: how a sequence becomes a row.

    Returns:
        The positions, where 0 is the start token, and whether each cell is inside its sequence.
        Both have the shape (rows, max_length). Positions outside are meaningless.
    """
    kept = np.minimum(lengths, layout.max_length)
    first = lengths - kept if layout.truncating == "pre" else np.zeros_like(lengths)
    margin = layout.max_length - kept if layout.padding == "pre" else np.zeros_like(lengths)
    columns = np.arange(layout.max_length) - margin[:, None]
    return columns + first[:, None], (columns >= 0) & (columns < kept[:, None])


def pad_ranks(texts: Sequence[Sequence[int]], layout: Layout) -> NDArray[Any]:
    """Return padded rows of token ids for texts given as word ranks.

    An empty text has only the start token.

    Returns:
        Shape (texts, max_length), see `pad`.
    """
    no_labels = np.zeros(len(texts), np.uint8)
    return pad(Reviews.from_lists(texts, no_labels), np.arange(len(texts)), layout)


def review_hashes(reviews: Reviews) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each review's words, shape (reviews,).

    Among a million different reviews, two have the same hash with a probability of 3 in 10^8.
    """
    tokens = memoryview(reviews.tokens.data)
    bounds = pairwise(reviews.offsets.tolist())
    digests = (hashlib.blake2b(tokens[low:high], digest_size=8).digest() for low, high in bounds)
    return np.frombuffer(b"".join(digests), np.uint64)
