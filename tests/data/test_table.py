"""Turn texts of one's own into reviews, and add texts to a dataset."""

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from sentiment.data.encoded import EncodedDataset
from sentiment.data.table import (
    add_texts,
    frequency_ranks,
    load_table,
    reviews_digest,
)
from sentiment.errors import UserError
from sentiment.params import TableParams
from sentiment.text.reviews import Reviews

Rows = Sequence[tuple[str, str]]
Loader = Callable[..., EncodedDataset]
TRAIN = [("b a b", "yes"), ("c a", "no"), ("d d", "yes"), ("d a", "no"), ("a a b", "no")]
TEST = [("a unheard b", "yes"), ("unheard", "no")]
YES = ("a", "yes")
NO = ("b", "no")
BOTH = [YES, NO] * 5
RANKS = {"good": 1, "bad": 2, "film": 3}
OWN = EncodedDataset(
    Reviews.from_lists([[1, 3], [2, 3]], np.array([1, 0])),
    Reviews.from_lists([[1, 1, 1], [2, 2, 2], [2, 3]], np.array([1, 0, 0])),
    RANKS,
    unranked_words=np.array([0, 1, 2]),
    test_text_digests=np.arange(3, dtype=np.uint64),
    label_names=["no", "yes"],
    test_set_digest="0123",
    skipped_rows=1,
)


def write_table(path: Path, rows: Rows) -> str:
    lines = [",".join(f'"{value}"' for value in row) for row in rows]
    path.write_text("\n".join(["text,label", *lines, ""]), encoding="utf-8")
    return str(path)


def rank_lists(reviews: Reviews) -> list[list[int]]:
    return [review.tolist() for review in reviews]


@pytest.fixture
def load_rows(tmp_path: Path) -> Loader:
    """Load a table of training rows and, if there are any, a table of test rows."""

    def load(train: Rows, test: Rows | None = None, **params: object) -> EncodedDataset:
        path = write_table(tmp_path / "train.csv", train)
        test_path = path if test is None else write_table(tmp_path / "test.csv", test)
        document = {"train": path, "test": test_path, **params}
        return load_table(TableParams.model_validate(document))

    return load


@pytest.fixture
def add_rows(tmp_path: Path) -> Loader:
    """Add the rows of tables in a folder to `OWN`, one table for each argument."""

    def add(*tables: Rows) -> EncodedDataset:
        folder = tmp_path / "added"
        folder.mkdir()
        for number, rows in enumerate(tables):
            write_table(folder / f"{number}.csv", rows)
        return add_texts(OWN, folder, TableParams(), "keras")

    return add


def test_words_are_ranked_as_keras_ranks_them(load_rows: Loader) -> None:
    loaded = load_rows(TRAIN, TEST)
    assert loaded.word_index == {"a": 1, "b": 2, "d": 3, "c": 4}  # b and d: the first one first
    assert rank_lists(loaded.train) == [[2, 1, 2], [4, 1], [3, 3], [3, 1], [1, 1, 2]]
    assert loaded.train.labels.tolist() == [1, 0, 1, 0, 0]
    assert rank_lists(loaded.test) == [[1, 2], []]
    assert loaded.test.labels.tolist() == [1, 0]
    assert loaded.unranked_words.tolist() == [1, 1]


LITERAL = [
    {"text": 'A "b", a\r\nb', "label": 1},
    {"text": "Été c\tc c", "label": 0},
    {"text": "2020-01-01 a", "label": 1},
    {"text": "b NA", "label": 0},
    {"text": "null a b", "label": 1},
    {"text": "?!", "label": 0},
]


def write_csv(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *(row.values() for row in LITERAL)])


def write_compressed_tsv(path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        rows = [("text", "label"), *(row.values() for row in LITERAL)]
        csv.writer(file, csv.excel_tab).writerows(rows)


def write_json_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in LITERAL))


def write_parquet(path: Path) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(LITERAL), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", write_csv),
        ("a.tsv.gz", write_compressed_tsv),
        ("a.jsonl", write_json_lines),
        ("a.parquet", write_parquet),
    ],
)
def test_every_format_has_the_same_arrays_and_digest(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    path = str(tmp_path / name)
    loaded = load_table(TableParams(train=path, test=path, test_share=0.4))
    assert loaded.word_index == {"b": 1, "a": 2, "a\r": 3, "na": 4, "null": 5}
    assert rank_lists(loaded.train) == [[2, 1, 3, 1], [1, 4], [5, 2, 1]]
    assert loaded.train.labels.tolist() == [1, 0, 1]
    assert rank_lists(loaded.test) == [[], [2]]
    assert loaded.test.labels.tolist() == [0, 1]
    assert loaded.unranked_words.tolist() == [4, 3]
    assert loaded.test_set_digest == "757479667764a913514bb5c3e523eac8"
    assert loaded.skipped_rows == 1
    assert loaded.label_names == ["0", "1"]


def test_of_equally_frequent_words_the_first_of_the_training_set_has_the_smaller_rank() -> None:
    """Use numbers in another order, as if the test set had word 1 before."""
    words = np.array([3, 1, 0, 1, 3, 3, 0], np.uint32)
    assert frequency_ranks(words, 5).tolist() == [3, 2, 0, 1, 0]


def test_another_tokenizer_or_training_set_leaves_the_test_set_the_same(load_rows: Loader) -> None:
    test = [("x…y", "yes"), ("a", "no")]  # x…y is one word for the one, and two for the other
    keras = load_rows(TRAIN, test, tokenizer="keras")
    other = load_rows(TRAIN, test, tokenizer="unicode")
    assert keras.unranked_words.tolist() != other.unranked_words.tolist()
    assert other.test_set_digest == keras.test_set_digest
    assert load_rows([*TRAIN, ("e", "no")], test).test_set_digest == keras.test_set_digest


def test_a_test_text_has_the_same_digest_with_another_label_and_in_another_table(
    load_rows: Loader,
) -> None:
    first = load_rows(TRAIN, TEST).test_text_digests
    swapped = [("unheard", "yes"), ("new", "no"), ("a unheard b", "no")]
    second = load_rows([*TRAIN, ("z", "yes"), ("y", "no")], swapped).test_text_digests
    assert len({*first.tolist(), *second.tolist()}) == 3
    assert second[[2, 0]].tolist() == first.tolist()


@pytest.mark.parametrize(
    "test",
    [
        [("b unheard a", "yes"), ("unheard", "no")],  # the same words
        [("a unheard b", "yes"), ("unseen", "no")],  # the same counts
        [("unheard", "no"), ("a unheard b", "yes")],  # another order
        [("a unheard b", "no"), ("unheard", "yes")],  # other labels
    ],
)
def test_other_texts_or_labels_are_another_test_set(load_rows: Loader, test: Rows) -> None:
    assert load_rows(TRAIN, test).test_set_digest != load_rows(TRAIN, TEST).test_set_digest


def test_other_names_of_labels_are_another_test_set(load_rows: Loader) -> None:
    def rename(rows: Rows) -> Rows:
        return [(text, {"yes": "yes", "no": "nope"}[label]) for text, label in rows]

    renamed = load_rows(rename(TRAIN), rename(TEST))
    assert renamed.test_set_digest != load_rows(TRAIN, TEST).test_set_digest


def test_another_positive_label_is_another_test_set(load_rows: Loader) -> None:
    other = load_rows(TRAIN, TEST, positive="no")
    assert other.test_set_digest != load_rows(TRAIN, TEST).test_set_digest


@pytest.mark.parametrize(
    ("reviews", "labels"),
    [
        ([[1, 1, 1], [2, 2, 2], [3, 2]], [1, 0, 0]),
        ([[1, 1, 1, 2], [2, 2], [2, 3]], [1, 0, 0]),
        ([[1, 1, 1], [2, 2, 2], [2, 3]], [1, 1, 0]),
    ],
)
def test_other_words_or_labels_are_another_test_set_if_there_are_no_texts(
    reviews: list[list[int]], labels: list[int]
) -> None:
    other = Reviews.from_lists(reviews, np.array(labels))
    assert reviews_digest(other) != reviews_digest(OWN.test)


def test_texts_without_a_word_are_skipped(load_rows: Loader) -> None:
    loaded = load_rows([*TRAIN, ("!", "yes")], [*TEST, (" ?! ", "yes")])
    assert (len(loaded.train), len(loaded.test), loaded.skipped_rows) == (5, 2, 2)


def test_test_set_is_chosen_with_the_same_share_of_each_label(load_rows: Loader) -> None:
    rows = [(f"text {number}", "yes" if number < 50 else "no") for number in range(200)]
    loaded = load_rows(rows, test_share=0.1)
    assert (len(loaded.train), len(loaded.test)) == (180, 20)
    assert (loaded.train.labels.sum(), loaded.test.labels.sum()) == (45, 5)
    # The numbers of the rows are words, so the training set's words show which rows it has.
    assert load_rows(rows, test_share=0.1).word_index == loaded.word_index


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            TRAIN,
            [("a", "maybe")],
            "test.csv, row 1: column 'label' has the label 'maybe', but",
        ),
        ([*BOTH, ("!", "maybe")], None, "train.csv, row 11: column 'label' has the label 'maybe'"),
        ([YES, (" ", "no"), ("", "no")], None, "train.csv has no text in 2 of its rows: 2, 3."),
        ([YES, NO] * 2, None, "fetch.table.test_share: "),
        (TRAIN, [NO] * 2, "test.csv, test set: all 2 texts have the same label"),
    ],
)
def test_unfit_table_is_refused(
    load_rows: Loader, train: Rows, test: Rows | None, message: str
) -> None:
    with pytest.raises(UserError) as raised:
        load_rows(train, test)
    assert message in str(raised.value)


@pytest.mark.parametrize("param", ["text", "label"])
def test_a_column_that_is_missing_names_the_param_to_correct(load_rows: Loader, param: str) -> None:
    message = rf"train\.csv has no column 'gone'\. .*Correct fetch\.table\.{param} in params\.yaml"
    with pytest.raises(UserError, match=message):
        load_rows(TRAIN, TEST, **{param: "gone"})


def test_added_texts_join_the_training_set_and_the_test_set_stays(add_rows: Loader) -> None:
    loaded = add_rows([("A GOOD, good film!", "yes")], [("bad, unheard", "no")])
    assert rank_lists(loaded.train) == [[1, 3], [2, 3], [1, 1, 3], [2]]
    assert loaded.train.labels.tolist() == [1, 0, 1, 0]
    assert rank_lists(loaded.test) == rank_lists(OWN.test)
    assert loaded.test.labels.tolist() == [1, 0, 0]
    assert loaded.unranked_words.tolist() == [0, 1, 2]
    assert loaded.test_set_digest == OWN.test_set_digest
    assert loaded.word_index == RANKS


def test_added_texts_that_are_unknown_or_not_new_are_skipped(add_rows: Loader) -> None:
    unknown = [("unheard", "yes"), ("?", "no")]
    in_dataset = [("good film", "yes"), ("good, good, unheard GOOD", "yes"), ("bad film", "no")]
    new = [("film", "no"), ("Film, unheard", "yes"), ("good", "yes")]
    loaded = add_rows(unknown + in_dataset, new)
    assert rank_lists(loaded.train)[2:] == [[3], [1]]
    assert loaded.train.labels.tolist()[2:] == [0, 1]
    assert loaded.skipped_rows == OWN.skipped_rows + 6


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("good", "yes"), ("good", "never")], "row 2: column 'label' has the label 'never', but"),
        ([("good", "yes"), ("", "no")], "0.csv has no text in 1 of its rows: 2."),
    ],
)
def test_unfit_added_texts_are_refused(add_rows: Loader, rows: Rows, message: str) -> None:
    with pytest.raises(UserError) as raised:
        add_rows(rows)
    assert message in str(raised.value)


def test_a_test_set_with_the_content_of_the_training_set_is_refused(load_rows: Loader) -> None:
    with pytest.raises(UserError, match="have the same content"):
        load_rows(TRAIN, TRAIN)


def test_a_table_with_three_labels_has_their_indices_in_both_sets(load_rows: Loader) -> None:
    train = [(text, label) for label in ("b", "c", "a") for text in (f"{label} x", f"{label} y")]
    loaded = load_rows(train, [("x", "c"), ("y", "a")])
    assert loaded.label_names == ["a", "b", "c"]
    assert loaded.train.labels.tolist() == [1, 1, 2, 2, 0, 0]
    assert loaded.test.labels.tolist() == [2, 0]


def test_test_set_has_a_share_of_each_of_many_labels(load_rows: Loader) -> None:
    labels = [f"{label:02}" for label in range(100)]
    loaded = load_rows([(f"text {at}", label) for label in labels for at in range(5)])
    assert loaded.label_names == labels
    assert np.bincount(loaded.test.labels).tolist() == [1] * 100
