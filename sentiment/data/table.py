"""Labelled texts of one's own as reviews: split into words, set aside for the test, and ranked.

The texts themselves are never in memory together: their words are written into a file as they are
read, each by a number, and once it is known how often each occurs in training, by its rank.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment import text
from sentiment.data import rows
from sentiment.data.dataset import Table
from sentiment.data.rows import Columns, Labels, Row, Source
from sentiment.errors import UserError
from sentiment.text import Reviews

AT_ONCE = 4_000_000  # words in memory
NUMBER = np.dtype(np.uint32)


class Loaded(NamedTuple):
    """A data set.

    Attributes:
        train: its training part.
        test: its test part.
        ranks: the words of the training part, each with its frequency rank.
        left_out: rows whose text has no word.
    """

    train: Reviews
    test: Reviews
    ranks: dict[str, int]
    left_out: int


class Rows(NamedTuple):
    """What is known of each row that has a word.

    Attributes:
        lengths: words of it, shape (rows,).
        labels: 1 = positive, shape (rows,).
        groups: number of its group, shape (rows,).
    """

    lengths: NDArray[np.int64]
    labels: NDArray[np.uint8]
    groups: NDArray[np.int64]


class Reader:
    """Turns rows into numbers of words, and remembers what else is known of them.

    Args:
        settings: the `fetch.table` section.

    Attributes:
        numbers: of each word, from 0, in the order in which they occur.
        left_out: rows whose text has no word.
    """

    def __init__(self, settings: Table) -> None:
        self.settings = settings
        self.numbers: dict[str, int] = {}
        self.left_out = 0
        self.labels = Labels(settings.positive, settings.label)
        self._groups: dict[str, int] = {}
        self._known = array("q")  # three numbers a row

    def blocks(self, given: Iterable[Row]) -> Iterator[NDArray[np.uint32]]:
        """The words of all rows by their numbers, some rows at a time.

        Raises:
            UserError: a row has a third label.
        """
        waiting: list[int] = []
        for row in given:
            positive = self.labels.is_positive(row)
            words = text.words(row.text, self.settings.tokenizer)
            if not words:
                self.left_out += 1
                continue
            waiting += [self.numbers.setdefault(word, len(self.numbers)) for word in words]
            group = self._groups.setdefault(row.group, len(self._groups))
            self._known.extend((len(words), positive, group))
            if len(waiting) >= AT_ONCE:
                yield np.array(waiting, NUMBER)
                waiting = []
        yield np.array(waiting, NUMBER)

    def rows(self) -> Rows:
        """What is known of all rows so far."""
        lengths, labels, groups = np.array(self._known, np.int64).reshape(-1, 3).T
        return Rows(lengths.copy(), labels.astype(np.uint8), groups.copy())


class Words:
    """The words of many rows in a file, read some rows at a time.

    Args:
        path: the file, which has the numbers of all words, row after row.
        lengths: words of each row, shape (rows,).
    """

    def __init__(self, path: Path, lengths: NDArray[np.int64]) -> None:
        self.path = path
        self.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def blocks(self, chosen: NDArray[np.bool_]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """The words of the chosen rows, and the row of each, in their order."""
        first, count = 0, len(self.offsets) - 1
        while first < count:
            target = self.offsets[first] + AT_ONCE
            last = max(first + 1, int(np.searchsorted(self.offsets, target, "right")) - 1)
            start, size = self.offsets[first], self.offsets[last] - self.offsets[first]
            words = np.fromfile(self.path, NUMBER, size, offset=start * NUMBER.itemsize)
            inside = np.repeat(np.arange(first, last), np.diff(self.offsets[first : last + 1]))
            wanted = chosen[inside]
            yield words[wanted], inside[wanted]
            first = last


def load(settings: Table, sources: Sequence[Source], scratch: Path) -> Loaded:
    """Read the files, and set a share aside for the test if there is no file of its own.

    Args:
        settings: the `fetch.table` section.
        sources: the file of the training part and, if it has one of its own, that of the test part.
        scratch: an empty folder, in which the words of the result stay.

    Raises:
        UserError: a file cannot be read, or is not as it has to be.
    """
    reader = Reader(settings)
    train, *test = sources
    _append(reader, train, scratch / "numbers")
    learned = len(reader.rows().labels)
    reader.labels.require_both(reader.rows().labels, settings.train)
    for source in test:
        _append(reader, source, scratch / "numbers")
    known = reader.rows()
    if test:
        is_test = np.arange(len(known.labels)) >= learned
        if settings.group is not None:
            _require_apart(known.groups, is_test, settings)
    else:
        is_test = set_aside(known, settings)
    return _loaded(reader, known, is_test, scratch)


def _append(reader: Reader, source: Source, path: Path) -> None:
    """Append the words of a file's rows to those in `path`."""
    columns = Columns(reader.settings.text, reader.settings.label, reader.settings.group)
    with path.open("ab") as file:
        for block in reader.blocks(rows.read(source, columns, reader.settings.longest)):
            block.tofile(file)


def _require_apart(groups: NDArray[np.int64], is_test: NDArray[np.bool_], settings: Table) -> None:
    """Raise UserError where a group is in both parts."""
    both = np.intersect1d(groups[is_test], groups[~is_test])
    if len(both):
        raise UserError(
            f"{len(both):,} of the groups in column {settings.group!r} of {settings.test} are also "
            f"in {settings.train}: take their rows from one of both."
        )


def nearest(share: float) -> int:
    """In how many parts, two at least, one part comes nearest to a share of at most a half."""
    fewer = max(2, int(1 / share))
    return min((fewer, fewer + 1), key=lambda parts: abs(1 / parts - share))


def set_aside(known: Rows, settings: Table) -> NDArray[np.bool_]:
    """Which rows are the test part: a share of each label, and whole groups.

    Where there are groups, scikit-learn deals them into as many parts as come nearest to the share.

    Returns:
        Shape (rows,).

    Raises:
        UserError: there are too few rows or groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    order, seed = np.arange(len(known.labels)), settings.split_seed
    try:
        if settings.group is None:
            _, test = train_test_split(
                order, test_size=settings.test_share, stratify=known.labels, random_state=seed
            )
        else:
            parts = nearest(settings.test_share)
            dealer = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
            _, test = next(dealer.split(order, known.labels, known.groups))
    except ValueError as error:
        raise UserError(f"{settings.train}: fetch.table.test_share: {error}") from None
    chosen = np.zeros(len(order), bool)
    chosen[test] = True
    return chosen


def _loaded(reader: Reader, known: Rows, is_test: NDArray[np.bool_], scratch: Path) -> Loaded:
    for chosen, what in ((is_test, "test"), (~is_test, "training")):
        reader.labels.require_both(known.labels[chosen], f"{reader.settings.test}, {what} part")
    words = Words(scratch / "numbers", known.lengths)
    ranks = ranked(words.blocks(~is_test), len(reader.numbers))
    train = _part(words, ranks, known.labels, ~is_test, scratch / "train")
    test = _part(words, ranks, known.labels, is_test, scratch / "test")
    words.path.unlink()
    vocabulary = list(reader.numbers)
    reader.numbers.clear()  # with many distinct words it is most of the memory
    return Loaded(train, test, _index(vocabulary, ranks), reader.left_out)


def ranked(blocks: Iterable[tuple[NDArray[Any], NDArray[Any]]], count: int) -> NDArray[np.uint32]:
    """The frequency rank of each word, as Keras' `Tokenizer` ranks them.

    The most frequent word has rank 1; of two that are equally frequent, the one that occurs first.

    Args:
        blocks: the words of the training part, by their numbers, in their order.
        count: of all words.

    Returns:
        Shape (count,); 0 for a word that does not occur there.
    """
    counts, first = np.zeros(count, np.int64), np.full(count, -1, np.int64)
    begun = 0
    for words, _ in blocks:
        counts += np.bincount(words, minlength=count)
        places = np.full(count, -1, np.int64)
        places[words[::-1]] = np.arange(len(words))[::-1]  # of several, the first one stays
        new = (first < 0) & (places >= 0)
        first[new] = begun + places[new]
        begun += len(words)
    order = np.lexsort((first, -counts))[: np.count_nonzero(counts)]
    ranks = np.zeros(count, np.uint32)
    ranks[order] = np.arange(1, len(order) + 1)
    return ranks


def _part(
    words: Words,
    ranks: NDArray[np.uint32],
    labels: NDArray[np.uint8],
    chosen: NDArray[np.bool_],
    path: Path,
) -> Reviews:
    """The chosen rows as reviews, whose words are in a file; words without a rank are dropped."""
    lengths = np.zeros(len(labels), np.int64)
    with path.open("wb") as file:
        for numbers, inside in words.blocks(chosen):
            words_ranks = ranks[numbers]
            known = words_ranks > 0
            lengths += np.bincount(inside[known], minlength=len(labels))
            words_ranks[known].tofile(file)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen])])
    empty = np.zeros(0, NUMBER)
    tokens = np.memmap(path, NUMBER, "r") if offsets[-1] else empty
    return Reviews(tokens, offsets, labels[chosen])


def _index(words: list[str], ranks: NDArray[np.uint32]) -> dict[str, int]:
    """The words that have a rank, the first one first."""
    order = np.argsort(ranks)[np.count_nonzero(ranks == 0) :]
    return {words[number]: rank for rank, number in enumerate(order, 1)}
