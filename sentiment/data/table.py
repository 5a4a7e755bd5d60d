"""Turn a table of labeled texts into reviews: tokenize, choose the test set, and rank the words."""

import hashlib
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.data.encoded import EncodedDataset, seen_in_training
from sentiment.data.labels import check_known, training_label_names
from sentiment.data.rows import ColumnError, Columns, Row, read_rows
from sentiment.errors import UserError
from sentiment.params import TableParams
from sentiment.text.reviews import Reviews
from sentiment.text.tokenizer import tokenize

MAX_ROWS_SHOWN = 10  # in a message


class CodedWords(NamedTuple):
    """The words of texts as codes from 0, in the order of their first occurrence.

    Attributes:
        codes: the codes of the words of all texts, one text after the other, shape (words,).
        lengths: number of words of each text, shape (texts,).
        vocabulary: the distinct words, in the order of their codes.
    """

    codes: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    vocabulary: list[str]


def load_table(params: TableParams) -> EncodedDataset:
    """Read a dataset from its files. If both files are the same, choose the test set.

    Raises:
        UserError: a file cannot be used.
    """
    train = read_labeled_rows(params.train, params)
    rows = train
    if params.test != params.train:
        test = read_labeled_rows(params.test, params)
        check_tables_differ(train, test, params)
        rows = pd.concat([train, test], ignore_index=True)
    words = code_words(rows["text"], params.tokenizer)
    has_words = words.lengths > 0
    names = training_label_names(train[has_words[: len(train)]], params)
    check_known(train, params.train, params.label, names)
    check_known(rows[len(train) :], params.test, params.label, names)
    is_test = (np.arange(len(rows)) >= len(train))[has_words]
    words = words._replace(lengths=words.lengths[has_words])
    kept = rows[has_words].reset_index(drop=True)
    labels = pd.Index(names).get_indexer(pd.Index(kept["label"])).astype(np.uint8)
    text_ids = digest_texts(kept["text"])
    if params.test == params.train:
        is_test = choose_test_rows(text_ids, labels, params)
    check_test_set(labels[is_test], params.test)
    return encode_rows(
        kept.assign(text_id=text_ids), words, labels, names, is_test, len(rows) - len(kept)
    )


def read_labeled_rows(path: str, params: TableParams) -> pd.DataFrame:
    """Read a file of labeled texts.

    Args:
        params: the section `fetch.table`, which names the columns.

    Returns:
        Columns `row` (its number in the file, from 1), `text`, `label` and, if the params name its
        column, `id`.

    Raises:
        UserError: the file or a row cannot be read, a text is blank, or the texts are named
            as ids.
    """
    if params.id == params.text:  # the texts would reach the predictions
        raise UserError(
            f"fetch.table.id: column {params.id!r} has the texts. Name another one with --id, or "
            "set it to ''."
        )
    columns = Columns(params.text, params.label, params.id or None)
    try:
        rows = pd.DataFrame(read_rows(Path(path), columns), columns=["row", *Row._fields[1:]])
    except ColumnError as error:
        named = {params.id: "id", params.label: "label", params.text: "text"}
        param = named[error.column]
        raise UserError(
            f"{error}. Correct fetch.table.{param} in params.yaml, or --{param}."
        ) from None
    blank = rows["row"][rows["text"] == ""]
    if not blank.empty:
        shown = ", ".join(f"{number:,}" for number in blank[:MAX_ROWS_SHOWN])
        more = ", …" if len(blank) > MAX_ROWS_SHOWN else ""
        raise UserError(
            f"{path} has no text in {len(blank):,} of its rows: {shown}{more}. Correct these rows, "
            "or remove them."
        )
    if not params.id:
        return rows.drop(columns="id")
    return rows.assign(id=rows["id"].fillna(""))


def check_tables_differ(train: pd.DataFrame, test: pd.DataFrame, params: TableParams) -> None:
    """Check that the test set does not have the rows of the training set.

    Raises:
        UserError: both have the same rows, so a model would be evaluated on its training set.
    """
    if test.equals(train):
        raise UserError(
            f"{params.train} and {params.test} have the same content. To use a share of one file "
            f"as the test set, set fetch.table.test to {params.train}."
        )


def check_test_set(labels: NDArray[np.uint8], name: str) -> None:
    """Check that a test set has at least two labels, which the metrics need.

    Raises:
        UserError: it has a single label.
    """
    if len(np.unique(labels)) < 2:
        raise UserError(
            f"{name}, test set: all {len(labels):,} texts have the same label. Add texts with "
            "other labels."
        )


def code_words(texts: Iterable[str], tokenizer: str) -> CodedWords:
    """Split texts into words, and return these as codes."""
    vocabulary: dict[str, int] = {}
    codes = array("I")
    lengths = array("q")
    for text in texts:
        words = tokenize(text, tokenizer)
        codes.extend(vocabulary.setdefault(word, len(vocabulary)) for word in words)
        lengths.append(len(words))
    return CodedWords(
        np.frombuffer(codes, np.uint32), np.frombuffer(lengths, np.int64), list(vocabulary)
    )


def digest_texts(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return a digest of each text, shape (texts,)."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), np.dtype("<u8"))


def choose_test_rows(
    text_ids: NDArray[np.uint64], labels: NDArray[np.uint8], params: TableParams
) -> NDArray[np.bool_]:
    """Choose the test set: from the rows of each label, the share with the smallest text ids.

    So whether a row is in the test set follows from its text. A corrected label or an added row
    changes the largest id that is chosen, which moves only a few other rows. Equal texts with the
    same label are in the same set.

    Args:
        text_ids: a digest of each text, shape (rows,).
        labels: indices of the labels, shape (rows,).

    Returns:
        Shape (rows,).

    Raises:
        UserError: there are too few texts.
    """
    is_test = np.zeros(len(labels), np.bool_)
    label_count = labels.max() + 1
    for label in range(label_count):
        has_label = labels == label
        ids = np.sort(text_ids[has_label])
        count = max(1, round(params.test_share * len(ids)))
        is_test |= has_label & (text_ids <= ids[count - 1])
    if len(np.unique(labels[~is_test])) < label_count:
        raise UserError(
            f"{params.train}: fetch.table.test_share: with a share of {params.test_share:g} of "
            f"{len(labels):,} texts, the {label_count} labels do not fit into both sets. Use "
            "another share, or more texts."
        )
    return is_test


def encode_rows(
    rows: pd.DataFrame,
    words: CodedWords,
    labels: NDArray[np.uint8],
    label_names: list[str],
    is_test: NDArray[np.bool_],
    skipped_rows: int,
) -> EncodedDataset:
    """Return rows as a dataset.

    Args:
        rows: the rows of both sets, see `read_labeled_rows`, with `text_id`.
        words: their words.
        labels: the indices of their labels, shape (rows,).
        label_names: the names of all labels, in the order of their indices.
        is_test: whether each row belongs to the test set, shape (rows,).
        skipped_rows: number of other rows of the files, which have no word.
    """
    in_test_set = np.repeat(is_test, words.lengths)
    ranks = frequency_ranks(words.codes[~in_test_set], len(words.vocabulary))
    order = np.argsort(ranks)[np.count_nonzero(ranks == 0) :]  # codes of the words, by rank
    tokens = ranks[words.codes]
    train = _select(tokens, words.lengths, labels, ~is_test)
    test = _select(tokens, words.lengths, labels, is_test)
    unranked_words = words.lengths[is_test] - test.lengths
    test_rows = rows[is_test].reset_index(drop=True)
    return EncodedDataset(
        train=train,
        test=test,
        test_rows=test_rows.drop(columns="label").assign(
            unranked_words=unranked_words,
            seen_in_training=seen_in_training(test, train, unranked_words),
        ),
        word_index={words.vocabulary[code]: rank for rank, code in enumerate(order, 1)},
        label_names=label_names,
        test_set_digest=digest_labeled_texts(test_rows, label_names),
        skipped_rows=skipped_rows,
    )


def digest_labeled_texts(rows: pd.DataFrame, label_names: list[str]) -> str:
    """Return a digest of texts with their labels, and of the names of all labels in their order."""
    digest = hashlib.blake2b(repr(label_names).encode(), digest_size=16)
    for text, label in zip(rows["text"], rows["label"], strict=True):
        digest.update(hashlib.blake2b(f"{text}\0{label}".encode(), digest_size=16).digest())
    return digest.hexdigest()


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
