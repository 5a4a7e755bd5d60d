"""Turn texts of one's own into reviews."""

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from sentiment.data.dataset import digest_reviews
from sentiment.data.encoded import EncodedDataset
from sentiment.data.table import frequency_ranks, load_table
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
NO_TEXTS = Reviews.from_lists([[1, 1, 1], [2, 2, 2], [2, 3]], np.array([1, 0, 0]))


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


def test_words_are_ranked_as_keras_ranks_them(load_rows: Loader) -> None:
    loaded = load_rows(TRAIN, TEST)
    assert loaded.word_index == {"a": 1, "b": 2, "d": 3, "c": 4}  # b and d: the first one first
    assert rank_lists(loaded.train) == [[2, 1, 2], [4, 1], [3, 3], [3, 1], [1, 1, 2]]
    assert loaded.train.labels.tolist() == [1, 0, 1, 0, 0]
    assert rank_lists(loaded.test) == [[1, 2], []]
    assert loaded.test.labels.tolist() == [1, 0]
    assert loaded.test_rows["unranked_words"].tolist() == [1, 1]


def test_a_test_text_is_seen_if_it_is_in_training_word_for_word(load_rows: Loader) -> None:
    test = [("A, C!", "yes"), ("c a", "yes"), ("c a unheard", "no")]
    loaded = load_rows([("a b", "yes"), ("c a", "no"), *TRAIN], test)
    assert loaded.test_rows["seen_in_training"].tolist() == [False, True, False]


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
    assert loaded.word_index == {"c": 1, "a": 2, "b": 3, "01": 4, "a\r": 5, "Été": 6, "2020": 7}
    assert rank_lists(loaded.train) == [[2, 3, 5, 3], [6, 1, 1, 1], [7, 4, 4, 2]]
    assert loaded.train.labels.tolist() == [1, 0, 1]
    assert rank_lists(loaded.test) == [[3], [2, 3]]
    assert loaded.test.labels.tolist() == [0, 1]
    assert loaded.test_rows.drop(columns="text_id").to_dict("list") == {
        "row": [4, 5],
        "text": ["b NA", "null a b"],
        "unranked_words": [1, 1],
        "seen_in_training": [False, False],
    }
    assert loaded.test_set_digest == "6865b34d665bc78db525f27cd628d7a4"
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
    assert keras.test_rows["unranked_words"].tolist() != other.test_rows["unranked_words"].tolist()
    assert other.test_set_digest == keras.test_set_digest
    assert load_rows([*TRAIN, ("e", "no")], test).test_set_digest == keras.test_set_digest


def test_a_test_text_has_the_same_digest_with_another_label_and_in_another_table(
    load_rows: Loader,
) -> None:
    first = load_rows(TRAIN, TEST).test_rows["text_id"]
    swapped = [("unheard", "yes"), ("new", "no"), ("a unheard b", "no")]
    second = load_rows([*TRAIN, ("z", "yes"), ("y", "no")], swapped).test_rows["text_id"]
    assert len({*first.tolist(), *second.tolist()}) == 3
    assert second.iloc[[2, 0]].tolist() == first.tolist()


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
    assert digest_reviews(other) != digest_reviews(NO_TEXTS)


def test_texts_without_a_word_are_skipped(load_rows: Loader) -> None:
    loaded = load_rows([*TRAIN, ("!", "yes")], [*TEST, (" ?! ", "yes")])
    assert (len(loaded.train), len(loaded.test), loaded.skipped_rows) == (5, 2, 2)


ROWS_OF_TWO = [(f"text {number}", "yes" if number < 100 else "no") for number in range(400)]


def test_test_set_is_chosen_with_the_same_share_of_each_label(load_rows: Loader) -> None:
    loaded = load_rows(ROWS_OF_TWO, test_share=0.1)
    assert (len(loaded.train), len(loaded.test)) == (360, 40)
    assert (loaded.train.labels.sum(), loaded.test.labels.sum()) == (90, 10)


def test_a_corrected_label_and_added_rows_leave_nearly_all_test_texts_where_they_were(
    load_rows: Loader,
) -> None:
    def test_texts(rows: Rows) -> set[str]:
        return set(load_rows(rows).test_rows["text"])

    before = test_texts(ROWS_OF_TWO)
    assert len(before - test_texts([("text 0", "no"), *ROWS_OF_TWO[1:]])) <= 1
    assert test_texts(ROWS_OF_TWO[::-1]) == before
    added = [(f"new {number}", "no") for number in range(40)]
    assert len(before - test_texts([*added, *ROWS_OF_TWO])) <= 10


def test_equal_texts_with_the_same_label_are_in_the_same_set(load_rows: Loader) -> None:
    rows = [(f"text {number // 4}", "yes" if number < 40 else "no") for number in range(80)]
    loaded = load_rows(rows, test_share=0.25)
    counts = loaded.test_rows["text"].value_counts()
    assert set(counts) == {4}


def test_each_test_text_keeps_its_row_and_its_id(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    rows = [f'a-{number},"Text, no. {number}!",{number % 2}' for number in range(1, 41)]
    path.write_text("\n".join(["key,text,label", *rows, "a-1,?!,0", ""]))
    params = TableParams(train=str(path), test=str(path), id="key")
    test_rows = load_table(params).test_rows
    assert len(test_rows) == 8
    for row in test_rows.to_dict("records"):
        assert row["id"] == f"a-{row['row']}"
        assert row["text"] == f"Text, no. {row['row']}!"
    assert "id" not in load_table(params.model_copy(update={"id": ""})).test_rows


def test_texts_as_ids_are_refused(load_rows: Loader) -> None:
    with pytest.raises(UserError, match=r"fetch\.table\.id: column 'text' has the texts"):
        load_rows(TRAIN, TEST, id="text")


def test_rows_of_a_test_table_are_counted_in_that_table(load_rows: Loader) -> None:
    loaded = load_rows(TRAIN, [("?!", "yes"), *TEST])
    assert loaded.test_rows["row"].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            TRAIN,
            [("a", "maybe")],
            "test.csv, row 1: column 'label' has a label that",
        ),
        ([*BOTH, ("!", "maybe")], None, "train.csv, row 11: column 'label' has a label that"),
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
