"""Labelled texts of one's own as reviews: split into words, set aside for the test, and ranked.

The texts themselves are never in memory together: their words are written into a file as they are
read, each by a number, and once it is known how often each occurs in training, by its rank.
"""

import hmac
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.data import rows
from sentiment.data.params import TableParams
from sentiment.data.rows import BinaryLabels, Columns, Row, Source
from sentiment.errors import UserError
from sentiment.tokenizer import Reviews, review_hashes, tokenize

CHUNK_WORDS = 4_000_000  # words in memory
NUMBER = np.dtype(np.uint32)


class EncodedDataset(NamedTuple):
    """A data set: both parts, each training word's frequency rank, and the rows without a word.

    `dropped` are the words of each test review that have no rank, shape (reviews,), or (1,) of all.
    """

    train: Reviews
    test: Reviews
    word_index: dict[str, int]
    rows_skipped: int
    words_dropped: NDArray[np.int64] = np.zeros(1, np.int64)


class RowEncoder:
    """Turns rows into `numbers` of words, from 0, in the order in which they occur.

    Of each row that has a word it keeps how many these are, whether it is `positive` and the number
    of its group; of the others, how many are `left_out`.
    """

    def __init__(self, params: TableParams, labels: BinaryLabels) -> None:
        self.params = params
        self.numbers: dict[str, int] = {}
        self.rows_skipped = 0
        self.labels = labels
        self.lengths, self.positive, self.groups = array("q"), array("B"), array("q")
        self._group_numbers: dict[str, int] = {}

    def append(self, source: Source, path: Path) -> None:
        """Append the words of a file's rows by their numbers to those in `path`.

        A UserError is raised as by `rows.read`.
        """
        columns = Columns(self.params.text, self.params.label, self.params.group)
        with path.open("ab") as file:
            for block in self._blocks(
                rows.read_labelled_rows(source, columns, self.params.longest)
            ):
                block.tofile(file)

    def _blocks(self, source: Iterable[Row]) -> Iterator[NDArray[np.uint32]]:
        waiting: list[int] = []
        for row in source:
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
    """The numbers of all words of many rows in a file, read some at a time.

    `ends` are how many words there are up to the end of each row, shape (rows,).
    """

    path: Path
    row_ends: NDArray[np.int64]

    def iter_blocks(self, chosen: NDArray[np.bool_]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """The words of the chosen rows, and the row of each, in their order."""
        for start in range(0, int(self.row_ends[-1]), CHUNK_WORDS):
            words = np.fromfile(self.path, NUMBER, CHUNK_WORDS, offset=start * NUMBER.itemsize)
            row = np.searchsorted(self.row_ends, np.arange(start, start + len(words)), "right")
            wanted = chosen[row]
            yield words[wanted], row[wanted]


def load_table(
    params: TableParams, sources: Sequence[Source], scratch: Path, labels: BinaryLabels
) -> EncodedDataset:
    """Read the files, and set a share aside for the test if there is no file of its own.

    The sources are the file of the training part and, if it has one of its own, that of the test
    part. The words of the result stay in `scratch`, an empty folder. A UserError says what is wrong
    with a file.
    """
    reader, path = RowEncoder(params, labels), scratch / "numbers"
    is_test = _read(reader, sources, path)
    positive, words = np.array(reader.positive), WordFile(path, np.cumsum(reader.lengths))
    ranks = frequency_ranks(words.iter_blocks(~is_test), len(reader.numbers))
    train_part = _part(words, ranks, positive, ~is_test, scratch / "train")
    test_part = _part(words, ranks, positive, is_test, scratch / "test")
    path.unlink()
    vocabulary = list(reader.numbers)
    reader.numbers.clear()  # with many distinct words it is most of the memory
    order = np.argsort(ranks)[np.count_nonzero(ranks == 0) :]  # the first word first
    index = {vocabulary[number]: rank for rank, number in enumerate(order, 1)}
    dropped = np.array(reader.lengths)[is_test] - test_part.lengths
    return EncodedDataset(train_part, test_part, index, reader.rows_skipped, dropped)


def _read(reader: RowEncoder, sources: Sequence[Source], path: Path) -> NDArray[np.bool_]:
    """Read all rows, whose words are then in `path`; which are the test part, shape (rows,)."""
    params, (train, *test) = reader.params, sources
    reader.append(train, path)
    learned = np.array(reader.positive)
    reader.labels.check_both_present(learned, params.train)
    for source in test:
        reader.append(source, path)
    labels, groups = np.array(reader.positive), np.array(reader.groups)
    if test:
        is_test = np.arange(len(labels)) >= len(learned)
    else:
        is_test = choose_test_rows(labels, groups, params)
    shared = np.intersect1d(groups[is_test], groups[~is_test])
    if params.group is not None and len(shared):
        raise UserError(
            f"{len(shared):,} of the groups in column {params.group!r} of {params.test} are "
            f"also in {params.train}: take their rows from one of both."
        )
    for chosen, part in ((is_test, "test"), (~is_test, "training")):
        reader.labels.check_both_present(labels[chosen], f"{params.test}, {part} part")
    return is_test


def number_of_folds(share: float) -> int:
    """In how many parts, two at least, one part comes nearest to a share of at most a half."""
    fewer = max(2, int(1 / share))
    return min((fewer, fewer + 1), key=lambda parts: abs(1 / parts - share))


def choose_test_rows(
    labels: NDArray[np.uint8], groups: NDArray[np.int64], params: TableParams
) -> NDArray[np.bool_]:
    """Which rows are the test part: a share of each label, and whole groups; shape (rows,).

    Where there are groups, scikit-learn deals them into as many parts as come nearest to the share.
    A UserError is raised where there are too few rows or groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    order, seed = np.arange(len(labels)), params.split_seed
    try:
        if params.group is None:
            _, test = train_test_split(
                order, test_size=params.test_share, stratify=labels, random_state=seed
            )
        else:
            parts = number_of_folds(params.test_share)
            dealer = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
            _, test = next(dealer.split(order, labels, groups))
    except ValueError as error:
        raise UserError(f"{params.train}: fetch.table.test_share: {error}") from None
    chosen = np.zeros(len(order), bool)
    chosen[test] = True
    return chosen


def frequency_ranks(
    blocks: Iterable[tuple[NDArray[Any], NDArray[Any]]], count: int
) -> NDArray[np.uint32]:
    """The frequency rank of each word, as Keras' `Tokenizer` ranks them.

    The most frequent word has rank 1; of two that are equally frequent, the one that occurs first.
    `blocks` are the words of the training part, by their numbers below `count`.

    Returns:
        Shape (count,); 0 for a word that does not occur there.
    """
    counts, first, begun = np.zeros(count, np.int64), np.zeros(count, np.int64), 0
    for words, _ in blocks:
        distinct, places, times = np.unique(words, return_index=True, return_counts=True)
        new = counts[distinct] == 0
        first[distinct[new]] = begun + places[new]
        counts[distinct] += times
        begun += len(words)
    order = np.lexsort((first, -counts))[: np.count_nonzero(counts)]
    ranks = np.zeros(count, np.uint32)
    ranks[order] = np.arange(1, len(order) + 1)
    return ranks


def _part(
    words: WordFile,
    ranks: NDArray[np.uint32],
    labels: NDArray[np.uint8],
    chosen: NDArray[np.bool_],
    path: Path,
) -> Reviews:
    """The chosen rows as reviews, whose words are in a file; words without a rank are dropped."""
    lengths = np.zeros(len(labels), np.int64)
    with path.open("wb") as file:
        for numbers, row in words.iter_blocks(chosen):
            tokens = ranks[numbers]
            has_rank = tokens > 0
            lengths += np.bincount(row[has_rank], minlength=len(labels))
            tokens[has_rank].tofile(file)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen])])
    empty = np.zeros(0, NUMBER)
    return Reviews(np.memmap(path, NUMBER, "r") if offsets[-1] else empty, offsets, labels[chosen])


def add_texts(
    loaded: EncodedDataset,
    params: TableParams,
    tokenizer: str,
    sources: Sequence[Source],
    labels: BinaryLabels,
) -> EncodedDataset:
    """A data set with the rows of further files, encoded by its word index; UserError as `load`.

    A hash of its known words, by HMAC (RFC 2104), puts each row for good into training or test. A
    review that the data set has already goes where that is, into training if in both parts. Of
    rows that read the same, the first one counts.
    """
    if params.group is not None:
        raise UserError("fetch.add needs an empty fetch.table.group: it puts texts one by one.")
    columns, key = Columns(params.text, params.label), str(params.split_seed).encode()
    reviews, positive, aside, left_out = list["array[int]"](), array("B"), array("B"), 0
    dropped = array("q")
    for row in chain.from_iterable(
        rows.read_labelled_rows(file, columns, params.longest) for file in sources
    ):
        is_positive, words = labels.is_positive(row), tokenize(row.text, tokenizer)
        if not words:
            left_out += 1
            continue
        known = [word for word in words if word in loaded.word_index]
        digest = hmac.digest(key, " ".join(known).encode(), "sha256")
        aside.append(int.from_bytes(digest[:8]) < params.test_share * 2**64)
        reviews.append(array("I", [loaded.word_index[word] for word in known]))
        positive.append(is_positive)
        dropped.append(len(words) - len(known))
    added = Reviews.from_lists(reviews, np.array(positive))
    labels.check_both_present(added.labels, "fetch.add")
    keys, parts = review_hashes(added), (loaded.train, loaded.test)
    in_train, in_test = (np.isin(keys, review_hashes(part)) for part in parts)
    is_test = (np.array(aside, bool) | in_test) & ~in_train
    is_new = np.isin(np.arange(len(keys)), np.unique(keys, return_index=True)[1])
    train, test = (
        Reviews.from_lists(
            [*part, *compress(reviews, chosen)], np.append(part.labels, added.labels[chosen])
        )
        for part, chosen in zip(parts, (is_new & ~is_test, is_new & is_test), strict=True)
    )
    own = np.broadcast_to(loaded.words_dropped, len(loaded.test))
    both = np.append(own, np.array(dropped)[is_new & is_test])
    return EncodedDataset(train, test, loaded.word_index, loaded.rows_skipped + left_out, both)
