"""Turn labeled texts into reviews: tokenize them, choose the test set, and rank the words."""

import filecmp
import hashlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.data.encoded import EncodedDataset
from sentiment.data.label_column import LabelColumn
from sentiment.data.rows import ColumnError, Columns, Row, list_tables, read_rows
from sentiment.errors import UserError
from sentiment.params import TableParams
from sentiment.text.reviews import Reviews, review_hashes
from sentiment.text.tokenizer import tokenize

SPLIT_SEED = 0
DIGEST_BYTES = 16
MAX_ROWS_SHOWN = 10  # in a message


class LabeledRow(NamedTuple):
    """A row of a table.

    Attributes:
        label_code: the code of its label, see `LabelColumn`.
        words: its words, in order. There may be none.
    """

    row: Row
    label_code: int
    words: list[str]


class CodedRows:
    """The words and labels of rows as codes from 0, in the order of their first occurrence.

    Attributes:
        label_column: the labels that the rows have.
        vocabulary: the code of each distinct word.
        word_codes: the codes of the words of all rows, one row after the other.
        lengths: number of words of each row. Rows without a word are left out.
        label_codes: the code of each row's label, see `LabelColumn`.
        digests: the digest of each row's text and label, one row after the other.
        text_digests: the first 8 bytes of a digest of each row's text alone.
        skipped_rows: number of rows without a word.
    """

    def __init__(self, params: TableParams, label_column: LabelColumn) -> None:
        self.params = params
        self.label_column = label_column
        self.vocabulary: dict[str, int] = {}
        self.word_codes = array("I")
        self.lengths = array("q")
        self.label_codes = array("B")
        self.digests = bytearray()
        self.text_digests = array("Q")
        self.skipped_rows = 0

    def append_file(self, path: Path) -> None:
        """Append the rows of a file.

        Raises:
            UserError: see `read_labeled_rows`.
        """
        labeled = read_labeled_rows(path, self.params, self.params.tokenizer, self.label_column)
        for row, label_code, words in labeled:
            if not words:
                self.skipped_rows += 1
                continue
            codes = self.vocabulary
            self.word_codes.extend(codes.setdefault(word, len(codes)) for word in words)
            self.lengths.append(len(words))
            self.label_codes.append(label_code)
            self.digests += digest(row.text.encode(), b"\0", row.label.encode())
            self.text_digests.frombytes(digest(row.text.encode())[: self.text_digests.itemsize])


def read_labeled_rows(
    path: Path, params: TableParams, tokenizer: str, label_column: LabelColumn
) -> Iterator[LabeledRow]:
    """Yield the rows of a file.

    Args:
        params: the section `fetch.table`, which names the columns.
        label_column: the labels, to which those of the file are added.

    Raises:
        UserError: see `rows.read_rows`; or there are too many labels; or, after the last row, a
            text is blank.
    """
    blank = []
    try:
        for row in read_rows(path, Columns(params.text, params.label)):
            if not row.text:
                blank.append(row.number)
            label_code = label_column.code_of(row.label, f"{path}, row {row.number}")
            yield LabeledRow(row, label_code, tokenize(row.text, tokenizer))
    except ColumnError as error:
        param = "text" if error.column == params.text else "label"
        raise UserError(f"{error}. Correct fetch.table.{param} in params.yaml.") from None
    check_none_is_blank(path, blank)


def digest(*parts: bytes) -> bytes:
    """Return a digest of bytes, of length `DIGEST_BYTES`."""
    return hashlib.blake2b(b"".join(parts), digest_size=DIGEST_BYTES).digest()


def reviews_digest(reviews: Reviews) -> str:
    """Return a digest of reviews whose texts are not available, by their ranks and labels."""
    arrays = (reviews.ranks, reviews.offsets, reviews.labels)
    return digest(*(array.tobytes() for array in arrays)).hex()


def load_table(params: TableParams) -> EncodedDataset:
    """Read a dataset from its files. If both files are the same, choose the test set.

    Raises:
        UserError: a file cannot be used.
    """
    column = LabelColumn(params.label, params.positive)
    rows = CodedRows(params, column)
    rows.append_file(Path(params.train))
    training_rows = len(rows.lengths)
    names = column.training_label_names(np.array(rows.label_codes), params.train)
    if params.test != params.train:
        rows.append_file(Path(params.test))
        check_files_differ(params)
    column.check_known(names)
    labels = column.indices(np.array(rows.label_codes), names)
    if params.test != params.train:
        is_test = np.arange(len(labels)) >= training_rows
    else:
        is_test = choose_test_rows(labels, params)
    check_test_set(labels[is_test], params.test)
    return encode_rows(rows, labels, names, is_test)


def encode_rows(
    rows: CodedRows, labels: NDArray[np.uint8], names: list[str], is_test: NDArray[np.bool_]
) -> EncodedDataset:
    """Return rows as a dataset.

    Args:
        rows: the rows of both sets.
        labels: the indices of their labels, shape (rows,).
        names: the names of all labels, in the order of their indices.
        is_test: whether each row belongs to the test set, shape (rows,).
    """
    words = np.array(rows.word_codes, np.uint32)
    lengths = np.array(rows.lengths)
    ranks = frequency_ranks(words[np.repeat(~is_test, lengths)], len(rows.vocabulary))
    tokens = ranks[words]
    test = _select(tokens, lengths, labels, is_test)
    order = np.argsort(ranks)[np.count_nonzero(ranks == 0) :]  # codes of the words, by rank
    words_by_code = list(rows.vocabulary)
    digests = np.frombuffer(rows.digests, np.uint8).reshape(-1, DIGEST_BYTES)
    return EncodedDataset(
        train=_select(tokens, lengths, labels, ~is_test),
        test=test,
        word_index={words_by_code[code]: rank for rank, code in enumerate(order, 1)},
        unranked_words=lengths[is_test] - test.lengths,
        test_text_digests=np.array(rows.text_digests, np.uint64)[is_test],
        label_names=names,
        test_set_digest=digest(repr(names).encode(), digests[is_test].tobytes()).hex(),
        skipped_rows=rows.skipped_rows,
    )


def check_none_is_blank(path: Path, rows: Sequence[int]) -> None:
    """Check that a file has no blank texts.

    Args:
        rows: the numbers of the rows whose text is blank.

    Raises:
        UserError: there are some.
    """
    if rows:
        shown = ", ".join(f"{number:,}" for number in rows[:MAX_ROWS_SHOWN])
        more = ", …" if len(rows) > MAX_ROWS_SHOWN else ""
        raise UserError(
            f"{path} has no text in {len(rows):,} of its rows: {shown}{more}. Correct these rows, "
            "or remove them."
        )


def check_test_set(labels: NDArray[np.uint8], name: str) -> None:
    """Check that a test set has two labels at least: there are no metrics of a single one.

    Raises:
        UserError: it has not.
    """
    if len(np.unique(labels)) < 2:
        raise UserError(
            f"{name}, test set: all {len(labels):,} texts have the same label. Add texts with "
            "other labels."
        )


def check_files_differ(params: TableParams) -> None:
    """Check that the file of the test set does not have the content of the training set's.

    Raises:
        UserError: it does: the model would be evaluated on what it was trained on.
    """
    if filecmp.cmp(params.train, params.test, shallow=False):
        raise UserError(
            f"{params.train} and {params.test} have the same content. To use a share of one file "
            f"as the test set, set fetch.table.test to {params.train}."
        )


def choose_test_rows(labels: NDArray[np.uint8], params: TableParams) -> NDArray[np.bool_]:
    """Choose the rows of the test set, the same share of each label.

    Args:
        labels: indices of the labels, shape (rows,).

    Returns:
        Shape (rows,).

    Raises:
        UserError: there are too few rows.
    """
    from sklearn.model_selection import train_test_split

    order = np.arange(len(labels))
    count = len(np.unique(labels))
    try:
        train, test = train_test_split(
            order, test_size=params.test_share, stratify=labels, random_state=SPLIT_SEED
        )
    except ValueError:  # too few texts for so many labels
        train = order[:0]
        test = order
    if len(np.unique(labels[train])) < count:
        raise UserError(
            f"{params.train}: fetch.table.test_share: with a share of {params.test_share:g} of "
            f"{len(labels):,} texts, the {count} labels do not fit into both sets. Use another "
            "share, or more texts."
        )
    return np.isin(order, test)


def frequency_ranks(words: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    """Return the frequency rank of each word, as Keras' `Tokenizer` ranks words.

    The most frequent word has rank 1. If two words are equally frequent, the one that occurs first
    has the smaller rank.

    Args:
        words: the words of the training set as codes below `count`, shape (words,).

    Returns:
        Shape (count,). Words that do not occur have rank 0.
    """
    distinct, first, counts = np.unique(words, return_index=True, return_counts=True)
    order = distinct[np.lexsort((first, -counts))]
    ranks = np.zeros(count, np.uint32)
    ranks[order] = np.arange(1, len(order) + 1)
    return ranks


def _select(
    ranks: NDArray[np.uint32],
    lengths: NDArray[np.int64],
    labels: NDArray[np.uint8],
    chosen: NDArray[np.bool_],
) -> Reviews:
    """Return the chosen rows as reviews, without words that have no rank.

    Args:
        ranks: ranks of the words of all rows, shape (words,).
        lengths: number of words of each row, shape (rows,).
        labels: indices of the labels, shape (rows,).
        chosen: whether to return each row, shape (rows,).
    """
    row = np.repeat(np.arange(len(lengths)), lengths)
    kept = chosen[row] & (ranks > 0)
    kept_lengths = np.bincount(row[kept], minlength=len(lengths))[chosen]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept_lengths)])
    return Reviews(ranks[kept], offsets, labels[chosen])


def add_texts(
    dataset: EncodedDataset, path: Path, params: TableParams, tokenizer: str
) -> EncodedDataset:
    """Add the rows of a file, or of all files in a folder, to the training set.

    The test set stays, so that models can be compared with earlier ones. A row is skipped if it has
    no known word, or if the dataset has its review already.

    Raises:
        UserError: a file cannot be used, or it has another label than the dataset.
    """
    column = LabelColumn(params.label, params.positive)
    reviews: list[list[int]] = []
    label_codes = array("B")
    rows = 0
    for table in list_tables(path):
        for _, label_code, words in read_labeled_rows(table, params, tokenizer, column):
            rows += 1
            ranks = [dataset.word_index[word] for word in words if word in dataset.word_index]
            if ranks:
                reviews.append(ranks)
                label_codes.append(label_code)
    column.check_known(dataset.label_names)
    labels = column.indices(np.array(label_codes), dataset.label_names)
    added = Reviews.from_lists(reviews, labels)
    is_new = _are_new(added, [dataset.train, dataset.test])
    return dataset._replace(
        train=_extend(dataset.train, added, is_new),
        skipped_rows=dataset.skipped_rows + rows - int(is_new.sum()),
    )


def _are_new(added: Reviews, splits: Sequence[Reviews]) -> NDArray[np.bool_]:
    """Return whether each added review is neither in the splits nor further up, shape (added,)."""
    hashes = review_hashes(added)
    _, first = np.unique(hashes, return_index=True)
    is_first = np.isin(np.arange(len(hashes)), first)
    known = np.concatenate([review_hashes(split) for split in splits])
    return is_first & ~np.isin(hashes, known)


def _extend(split: Reviews, added: Reviews, chosen: NDArray[np.bool_]) -> Reviews:
    """Return a split with the chosen ones of other reviews added.

    Args:
        split: the reviews that come first.
        added: the reviews to choose from.
        chosen: whether to add each of them, shape (added,).
    """
    ranks = added.ranks[np.repeat(chosen, added.lengths)]
    ends = split.offsets[-1] + np.cumsum(added.lengths[chosen])
    return Reviews(
        ranks=np.concatenate([split.ranks, ranks]),
        offsets=np.concatenate([split.offsets, ends]),
        labels=np.concatenate([split.labels, added.labels[chosen]]),
    )
