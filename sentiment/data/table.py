"""Turn labeled texts of one's own into reviews: tokenize, choose the test set and rank the words.

The texts are never in memory together. Their words are written to a file as numbers while the texts
are read. Once the frequency of each word in the training set is known, ranks replace the numbers.
"""

import hmac
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.data import rows
from sentiment.data.params import TableParams
from sentiment.data.rows import BinaryLabels, Columns, Row, Source
from sentiment.errors import UserError
from sentiment.tokenizer import Reviews, review_hashes, tokenize

CHUNK_WORDS = 4_000_000  # words in memory at once
NUMBER = np.dtype(np.uint32)


class EncodedDataset(NamedTuple):
    """A dataset as word ranks.

    Attributes:
        train: the training set.
        test: the test set.
        word_index: the frequency rank of each word of the training set.
        rows_skipped: number of rows without a word, and of those that `add_texts` skips.
        words_dropped: number of each test review's words that have no rank, shape (reviews,). Shape
            (1,) if all reviews have the same number.
    """

    train: Reviews
    test: Reviews
    word_index: dict[str, int]
    rows_skipped: int
    words_dropped: NDArray[np.int64] = np.zeros(1, np.int64)


class RowEncoder:
    """An encoder that numbers the words of rows from 0, in the order of their first occurrence.

    Attributes:
        numbers: the number of each word.
        rows_skipped: number of rows without a word. The lists below leave them out.
        lengths: number of words of each row.
        positive: whether each row has the positive label.
        groups: the number of each row's group.
    """

    def __init__(self, params: TableParams, labels: BinaryLabels) -> None:
        self.params = params
        self.labels = labels
        self.numbers: dict[str, int] = {}
        self.rows_skipped = 0
        self.lengths = array("q")
        self.positive = array("B")
        self.groups = array("q")
        self._group_numbers: dict[str, int] = {}

    def append(self, source: Source, path: Path) -> None:
        """Append the numbers of the words of all rows of a file to the file `path`.

        Raises:
            UserError: see `rows.read_valid_rows`.
        """
        columns = Columns(self.params.text, self.params.label, self.params.group)
        table = rows.read_valid_rows(source, columns, self.params.max_characters)
        with path.open("ab") as file:
            for block in self._blocks(table):
                block.tofile(file)

    def _blocks(self, table: Iterable[Row]) -> Iterator[NDArray[np.uint32]]:
        waiting: list[int] = []
        for row in table:
            is_positive = self.labels.is_positive(row)
            words = tokenize(row.text, self.params.tokenizer)
            if not words:
                self.rows_skipped += 1
                continue
            waiting += [self.numbers.setdefault(word, len(self.numbers)) for word in words]
            group = self._group_numbers.setdefault(row.group, len(self._group_numbers))
            self.lengths.append(len(words))
            self.positive.append(is_positive)
            self.groups.append(group)
            if len(waiting) >= CHUNK_WORDS:
                yield np.array(waiting, NUMBER)
                waiting = []
        yield np.array(waiting, NUMBER)


class WordFile(NamedTuple):
    """The numbers of the words of many rows, in a file that is read block by block.

    Attributes:
        path: the file.
        row_ends: number of words up to the end of each row, shape (rows,).
    """

    path: Path
    row_ends: NDArray[np.int64]

    def iter_blocks(self, chosen: NDArray[np.bool_]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield the words of the chosen rows, in order, and the row of each word.

        Args:
            chosen: whether to read each row, shape (rows,).
        """
        for start in range(0, int(self.row_ends[-1]), CHUNK_WORDS):
            words = np.fromfile(self.path, NUMBER, CHUNK_WORDS, offset=start * NUMBER.itemsize)
            row = np.searchsorted(self.row_ends, np.arange(start, start + len(words)), "right")
            is_chosen = chosen[row]
            yield words[is_chosen], row[is_chosen]


def load_table(
    params: TableParams, sources: Sequence[Source], scratch: Path, labels: BinaryLabels
) -> EncodedDataset:
    """Read a dataset from its files. Without a file for the test set, choose its rows.

    Args:
        params: the section `fetch.table`.
        sources: the file of the training set and, if there is one, that of the test set.
        scratch: an empty folder. The words of the result stay in it, as memory-mapped files.
        labels: the two labels.

    Raises:
        UserError: a file cannot be used.
    """
    encoder = RowEncoder(params, labels)
    path = scratch / "numbers"
    is_test = _read(encoder, sources, path)
    positive = np.array(encoder.positive)
    words = WordFile(path, np.cumsum(encoder.lengths))
    ranks = frequency_ranks(words.iter_blocks(~is_test), len(encoder.numbers))
    train = _split(words, ranks, positive, ~is_test, scratch / "train")
    test = _split(words, ranks, positive, is_test, scratch / "test")
    path.unlink()
    vocabulary = list(encoder.numbers)
    encoder.numbers.clear()  # it takes most of the memory if there are many distinct words
    order = np.argsort(ranks)[np.count_nonzero(ranks == 0) :]  # numbers of the words, by rank
    word_index = {vocabulary[number]: rank for rank, number in enumerate(order, 1)}
    words_dropped = np.array(encoder.lengths)[is_test] - test.lengths
    return EncodedDataset(train, test, word_index, encoder.rows_skipped, words_dropped)


def _read(encoder: RowEncoder, sources: Sequence[Source], path: Path) -> NDArray[np.bool_]:
    """Read all rows and write their words to `path`.

    Returns:
        Whether each row belongs to the test set, shape (rows,).
    """
    params = encoder.params
    train, *test = sources
    encoder.append(train, path)
    training_labels = np.array(encoder.positive)
    encoder.labels.check_both_present(training_labels, params.train)
    for source in test:
        encoder.append(source, path)
    labels = np.array(encoder.positive)
    groups = np.array(encoder.groups)
    if test:
        is_test = np.arange(len(labels)) >= len(training_labels)
    else:
        is_test = choose_test_rows(labels, groups, params)
    shared = np.intersect1d(groups[is_test], groups[~is_test])
    if params.group is not None and len(shared):
        raise UserError(
            f"{params.train} and {params.test} share {len(shared):,} groups (column "
            f"{params.group!r}). Remove each shared group from one of the two files."
        )
    encoder.labels.check_both_present(labels[is_test], f"{params.test}, test set")
    encoder.labels.check_both_present(labels[~is_test], f"{params.train}, training set")
    return is_test


def number_of_folds(share: float) -> int:
    """Return the number of folds (at least 2) whose size 1/n is closest to `share`."""
    fewer = max(2, int(1 / share))
    return min((fewer, fewer + 1), key=lambda folds: abs(1 / folds - share))


def choose_test_rows(
    labels: NDArray[np.uint8], groups: NDArray[np.int64], params: TableParams
) -> NDArray[np.bool_]:
    """Choose the rows of the test set: the same share of each label, and whole groups.

    With groups, scikit-learn divides them into folds, one of which comes nearest to the share.

    Args:
        labels: 1 = positive, 0 = negative, shape (rows,).
        groups: the number of each row's group, shape (rows,).
        params: the section `fetch.table`.

    Returns:
        Shape (rows,).

    Raises:
        UserError: there are too few rows or groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    order = np.arange(len(labels))
    seed = params.split_seed
    try:
        if params.group is None:
            _, test = train_test_split(
                order, test_size=params.test_share, stratify=labels, random_state=seed
            )
        else:
            folds = number_of_folds(params.test_share)
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            _, test = next(splitter.split(order, labels, groups))
    except ValueError as error:
        raise UserError(
            f"{params.train}: fetch.table.test_share: {error} Use another share, or more rows."
        ) from None
    chosen = np.zeros(len(order), bool)
    chosen[test] = True
    return chosen


def frequency_ranks(
    blocks: Iterable[tuple[NDArray[Any], NDArray[Any]]], count: int
) -> NDArray[np.uint32]:
    """Return the frequency rank of each word, as Keras' `Tokenizer` ranks words.

    The most frequent word has rank 1. Of two equally frequent words, the one that occurs first has
    the smaller rank.

    Args:
        blocks: the words of the training set as numbers below `count`, see `WordFile.iter_blocks`.
        count: number of words.

    Returns:
        Shape (count,). Words that do not occur have rank 0.
    """
    counts = np.zeros(count, np.int64)
    first = np.zeros(count, np.int64)  # position of the first occurrence
    words_before = 0
    for words, _ in blocks:
        distinct, positions, occurrences = np.unique(words, return_index=True, return_counts=True)
        is_new = counts[distinct] == 0
        first[distinct[is_new]] = words_before + positions[is_new]
        counts[distinct] += occurrences
        words_before += len(words)
    order = np.lexsort((first, -counts))[: np.count_nonzero(counts)]
    ranks = np.zeros(count, np.uint32)
    ranks[order] = np.arange(1, len(order) + 1)
    return ranks


def _split(
    words: WordFile,
    ranks: NDArray[np.uint32],
    labels: NDArray[np.uint8],
    chosen: NDArray[np.bool_],
    path: Path,
) -> Reviews:
    """Return the chosen rows as reviews, with their words in the file `path`.

    Words without a rank are dropped.
    """
    lengths = np.zeros(len(labels), np.int64)
    with path.open("wb") as file:
        for numbers, row in words.iter_blocks(chosen):
            tokens = ranks[numbers]
            has_rank = tokens > 0
            lengths += np.bincount(row[has_rank], minlength=len(labels))
            tokens[has_rank].tofile(file)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen])])
    # An empty file cannot be memory-mapped.
    tokens = np.memmap(path, NUMBER, "r") if offsets[-1] else np.zeros(0, NUMBER)
    return Reviews(tokens, offsets, labels[chosen])


def add_texts(
    dataset: EncodedDataset,
    params: TableParams,
    tokenizer: str,
    sources: Sequence[Source],
    labels: BinaryLabels,
) -> EncodedDataset:
    """Add the rows of further files to a dataset, encoded by its word index.

    A row is skipped if none of its words is known, if the dataset has its review already, or if an
    earlier row has the same known words. A hash of the known words decides whether a row joins the
    training set or the test set, so that it always joins the same one.

    Source: the hash is HMAC (RFC 2104), with `params.split_seed` as its key.

    Raises:
        UserError: a file cannot be used, or `params.group` is set.
    """
    if params.group is not None:
        raise UserError(
            "fetch.added_texts needs an empty fetch.table.group: it adds texts one by one."
        )
    columns = Columns(params.text, params.label)
    key = str(params.split_seed).encode()
    word_index = dataset.word_index
    reviews: list[array[int]] = []  # ranks of each row's known words
    positive = array("B")
    hashed_to_test = array("B")
    dropped = array("q")  # number of each row's unknown words
    rows_skipped = 0
    for row in chain.from_iterable(
        rows.read_valid_rows(source, columns, params.max_characters) for source in sources
    ):
        is_positive = labels.is_positive(row)
        words = tokenize(row.text, tokenizer)
        known = [word for word in words if word in word_index]
        if not known:
            rows_skipped += 1
            continue
        digest = hmac.digest(key, " ".join(known).encode(), "sha256")
        hashed_to_test.append(int.from_bytes(digest[:8]) < params.test_share * 2**64)
        reviews.append(array("I", [word_index[word] for word in known]))
        positive.append(is_positive)
        dropped.append(len(words) - len(known))
    added = Reviews.from_lists(reviews, np.array(positive))
    labels.check_both_present(added.labels, "fetch.added_texts")
    hashes = review_hashes(added)
    dataset_hashes = np.concatenate([review_hashes(dataset.train), review_hashes(dataset.test)])
    is_new = np.isin(np.arange(len(hashes)), np.unique(hashes, return_index=True)[1])
    is_new &= ~np.isin(hashes, dataset_hashes)
    is_test = np.array(hashed_to_test, bool)
    test_dropped = np.broadcast_to(dataset.words_dropped, len(dataset.test))
    return EncodedDataset(
        train=_extend(dataset.train, added, is_new & ~is_test),
        test=_extend(dataset.test, added, is_new & is_test),
        word_index=word_index,
        rows_skipped=dataset.rows_skipped + rows_skipped + int(np.count_nonzero(~is_new)),
        words_dropped=np.append(test_dropped, np.array(dropped)[is_new & is_test]),
    )


def _extend(split: Reviews, added: Reviews, chosen: NDArray[np.bool_]) -> Reviews:
    """Return a set with the chosen reviews added.

    Args:
        split: the set.
        added: the reviews to choose from.
        chosen: whether to add each review, shape (reviews,).
    """
    tokens = added.tokens[np.repeat(chosen, added.lengths)]
    ends = split.offsets[-1] + np.cumsum(added.lengths[chosen])
    return Reviews(
        tokens=np.concatenate([split.tokens, tokens]),
        offsets=np.concatenate([split.offsets, ends]),
        labels=np.concatenate([split.labels, added.labels[chosen]]),
    )
