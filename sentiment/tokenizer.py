"""From a text to token ids: split into words by one of two tokenizers, numbered, padded.

This module travels with the served model, so that a text is encoded there by the very code that
encoded the training data.

`keras` has the rules by which Keras' IMDB files were made: those by which the raw reviews of Maas
et al. 2011 give just those files. ASCII letters are lower-cased and no others; each of `SEPARATORS`
separates words, the apostrophe does not, so that `<br />` leaves the word `br`. Spaces of other
kinds, and the carriage return of Windows' line ends, separate nothing.

`unicode` splits at the word boundaries of Unicode's annex 29 and lower-cases as `str.lower` does. A
word begins with a letter, a digit or `_`; all else, emoji among it, is dropped. Scripts without
spaces, such as Chinese and Thai, it splits into characters, since their words need a dictionary.

By both, words that are not in the index are dropped.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

SEPARATORS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n '
WORD = re.compile(f"[^{re.escape(SEPARATORS)}]+")
LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
SPACED = LOWER | str.maketrans(SEPARATORS, " " * len(SEPARATORS))
KERAS, UNICODE = "keras", "unicode"


class Word(NamedTuple):
    """A word of a text that is in the index: its place, and its frequency rank."""

    start: int
    end: int
    rank: int


class Encoded(NamedTuple):
    """A text: the frequency ranks of those of its words that are in the index, in order."""

    ranks: list[int]
    word_count: int  # in all


@cache
def tokenizer_functions(
    tokenizer: str,
) -> tuple[Callable[[str], Iterator[re.Match[str]]], Callable[[str], str]]:
    """What finds the words of a text, and how each is written, by the tokenizer of this name."""
    if tokenizer == KERAS:
        return WORD.finditer, lambda word: word.translate(LOWER)
    import regex  # what is served with the other one does without it

    boundaries = regex.compile(r"(?w)\b\w.*?\b", regex.DOTALL)
    return boundaries.finditer, str.lower


def tokenize(text: str, tokenizer: str = KERAS) -> list[str]:
    """The words of a text, whether or not an index has them."""
    if tokenizer == KERAS:  # as `rules` says, seven times as fast
        return list(filter(None, text.translate(SPACED).split(" ")))
    find, lower = tokenizer_functions(tokenizer)
    return [lower(match[0]) for match in find(text)]


def tokenize_with_spans(text: str, ranks: Mapping[str, int], tokenizer: str = KERAS) -> list[Word]:
    """The words of a text that are in the index `ranks` (word to frequency rank), in order."""
    find, lower = tokenizer_functions(tokenizer)
    ranked = ((match, ranks.get(lower(match[0]))) for match in find(text))
    return [Word(match.start(), match.end(), rank) for match, rank in ranked if rank is not None]


def encode(text: str, ranks: Mapping[str, int], tokenizer: str = KERAS) -> Encoded:
    """The words of a text by the index `ranks`, as `known_words`, but without their places."""
    found = tokenize(text, tokenizer)
    return Encoded([*filter(None, map(ranks.get, found))], len(found))  # ranks begin at 1


class ReadLimits(NamedTuple):
    """What a model reads of a text: ranks up to `rank`, of `words` words of the index at most."""

    max_rank: int
    max_words: float

    @classmethod
    def from_layouts(cls, layouts: Sequence[Mapping[str, Any] | None], index: int) -> Self:
        """Those of a model, whose index has so many words, by the layouts of its members.

        It reads what one of them does; a linear model has no layout, and reads everything.
        """
        networks = [layout for layout in layouts if layout]
        if len(networks) < len(layouts):
            return cls(index, math.inf)
        ranks = [layout["num_words"] - layout["index_from"] - 1 for layout in networks]
        return cls(max(ranks), max(layout["max_length"] - 1 for layout in networks))

    def count_unknown(self, text: Encoded) -> int:
        """How many words of a text the model does not tell from any other unknown word."""
        most = self.max_rank  # to look it up for each word would take longer than all else
        rare = [rank for rank in text.ranks if rank > most]
        return text.word_count - len(text.ranks) + len(rare)

    def truncates(self, text: Encoded) -> bool:
        """Whether the model leaves out some of a text's words."""
        return len(text.ranks) > self.max_words


@dataclass(frozen=True)
class Layout:
    """How a review becomes a row of token ids: the `pad` section but for the order of the rows."""

    num_words: int
    max_length: int
    padding: Literal["pre", "post"]
    truncating: Literal["pre", "post"]
    padding_token: int
    start_token: int
    unknown_token: int
    index_from: int


@dataclass(frozen=True)
class Reviews:
    """Reviews and their labels; `reviews[i]` is the i-th as ranks, shape (words of it,).

    Attributes:
        tokens: shape (words,), uint32: the frequency ranks of all words, 1 = most frequent.
        offsets: shape (reviews + 1,), int64: review i is `tokens[offsets[i]:offsets[i + 1]]`.
        labels: shape (reviews,), uint8: 1 = positive, 0 = negative.
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
        """Words of each review, shape (reviews,)."""
        return np.diff(self.offsets)


def token_dtype(num_words: int) -> DTypeLike:
    """The smallest unsigned type for every token id below `num_words`."""
    return np.min_scalar_type(num_words - 1)


def pad(reviews: Reviews, order: NDArray[np.int64], layout: Layout) -> NDArray[Any]:
    """Start mark, token ids and padding of each review in `order`.

    A token id is the word's rank and `index_from`; rare words are unknown.

    Returns:
        Shape (reviews, max_length), of `token_dtype`.
    """
    position, inside = positions(reviews.lengths[order] + 1, layout)
    words = reviews.offsets[order][:, None] + position - 1
    inside_words = inside & (position > 0)
    padded = np.full(position.shape, layout.padding_token, token_dtype(layout.num_words))
    padded[inside & (position == 0)] = layout.start_token
    ids = reviews.tokens[words[inside_words]] + np.uint32(layout.index_from)
    ids[ids >= layout.num_words] = layout.unknown_token
    padded[inside_words] = ids
    return padded


def positions(
    lengths: NDArray[np.int64], layout: Layout
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each cell of the padded array, which position of its sequence is there.

    Position 0 is the start mark. Cells outside the sequence are False in the second array.
    """
    kept = np.minimum(lengths, layout.max_length)
    first = lengths - kept if layout.truncating == "pre" else np.zeros_like(lengths)
    margin = layout.max_length - kept if layout.padding == "pre" else np.zeros_like(lengths)
    columns = np.arange(layout.max_length) - margin[:, None]
    return columns + first[:, None], (columns >= 0) & (columns < kept[:, None])


def pad_ranks(texts: Sequence[Sequence[int]], layout: Layout) -> NDArray[Any]:
    """Rows of token ids, as `pad` makes them, of the ranks of texts; of none, a start mark."""
    unlabelled = np.zeros(len(texts), np.uint8)
    return pad(Reviews.from_lists(texts, unlabelled), np.arange(len(texts)), layout)


def review_hashes(reviews: Reviews) -> NDArray[np.uint64]:
    """A 64-bit hash of each review's words, shape (reviews,).

    Among a million different reviews, two share one with a chance of 3 in 10^8.
    """
    tokens, bounds = memoryview(reviews.tokens.data), pairwise(reviews.offsets.tolist())
    digests = (hashlib.blake2b(tokens[low:high], digest_size=8).digest() for low, high in bounds)
    return np.frombuffer(b"".join(digests), np.uint64)
