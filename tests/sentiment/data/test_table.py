"""Turn texts of one's own into reviews: rank their words and choose the test set."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sentiment.data import table
from sentiment.data.rows import BinaryLabels
from sentiment.data.summary import summarize_dataset
from sentiment.data.table import EncodedDataset
from sentiment.errors import UserError
from sentiment.tokenizer import Reviews
from workflow import downloads
from workflow.params import Params

Rows = Sequence[tuple[str, ...]]
TRAIN = [("b a b", "yes"), ("c a", "no"), ("d d", "yes"), ("d a", "no"), ("a a b", "no")]
TEST = [("a unheard b", "yes"), ("unheard", "no")]


def write_table(path: Path, rows: Rows, header: str) -> str:
    lines = [",".join(f'"{value}"' for value in row) for row in rows]
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return str(path)


Loader = Callable[..., EncodedDataset]


@pytest.fixture
def load_rows(tmp_path: Path, default_params: Params) -> Loader:
    """Load a table of training rows and, if there are any, a table of test rows."""

    def load_split(train: Rows, test: Rows | None = None, **changes: object) -> EncodedDataset:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        header = "text,label,group" if changes.get("group") else "text,label"
        path = write_table(folder / "train.csv", train, header)
        test_path = path if test is None else write_table(folder / "test.csv", test, header)
        update = {"positive": "yes", "train": path, "test": test_path, **changes}
        params = default_params.fetch.table.model_copy(update=update)
        (folder / "scratch").mkdir()
        with downloads.local_tables(params) as (sources, _):
            labels = BinaryLabels(params.positive, params.label)
            return table.load_table(params, sources, folder / "scratch", labels)

    return load_split


def rank_lists(reviews: Reviews) -> list[list[int]]:
    return [review.tolist() for review in reviews]


def test_words_are_ranked_as_keras_ranks_them(load_rows: Loader) -> None:
    loaded = load_rows(TRAIN, TEST)
    assert loaded.word_index == {"a": 1, "b": 2, "d": 3, "c": 4}  # b and d: the first one first
    assert rank_lists(loaded.train) == [[2, 1, 2], [4, 1], [3, 3], [3, 1], [1, 1, 2]]
    assert loaded.train.labels.tolist() == [1, 0, 1, 0, 0]
    assert rank_lists(loaded.test) == [[1, 2], []]
    assert loaded.test.labels.tolist() == [1, 0]
    assert loaded.words_dropped.tolist() == [1, 1]


def test_large_files_are_read_in_chunks_with_the_same_result(
    load_rows: Loader, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    words = np.array([f"w{number}" for number in range(100)])
    rows = [
        (" ".join(rng.choice(words, rng.integers(1, 20))), "yes" if row % 3 else "no")
        for row in range(150)
    ]
    large = load_rows(rows)
    monkeypatch.setattr(table, "CHUNK_WORDS", 7)
    small = load_rows(rows)
    assert small.word_index == large.word_index
    for one, other in ((small.train, large.train), (small.test, large.test)):
        for name in ("tokens", "offsets", "labels"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


def test_test_set_has_the_same_share_of_each_label(load_rows: Loader) -> None:
    rows = [(f"text {number}", "yes" if number < 50 else "no") for number in range(200)]
    first, again, other = (load_rows(rows, split_seed=seed, test_share=0.2) for seed in (0, 0, 1))
    for loaded in (first, again, other):
        assert (len(loaded.train), len(loaded.test)) == (160, 40)
        assert (loaded.train.labels.sum(), loaded.test.labels.sum()) == (40, 10)
    assert set(first.word_index) == set(again.word_index)  # the numbers of the rows are also words
    assert set(first.word_index) != set(other.word_index)


def test_groups_are_not_split(load_rows: Loader) -> None:
    rows = [
        (f"g{number % 23} x", "yes" if number % 3 else "no", f"p{number % 23}")
        for number in range(230)
    ]
    loaded = load_rows(rows, group="group")
    assert 30 <= len(loaded.test) <= 60
    known = {word for word in loaded.word_index if word.startswith("g")}
    for review in loaded.test:  # the group's own word is unknown, since all its rows are here
        assert len(review) == 1
    assert len(known) == 23 - len(loaded.test) // 10


def test_group_in_both_files_is_refused(load_rows: Loader) -> None:
    train = [("a", "yes", "Ann"), ("b", "no", "Bob")]
    with pytest.raises(UserError, match=r"share 1 groups \(column 'group'\)"):
        load_rows(train, [("c", "yes", "Bob"), ("d", "no", "Eve")], group="group")


def test_texts_without_a_word_are_skipped_and_repeated_reviews_counted(load_rows: Loader) -> None:
    train = [*TRAIN, ("B, a? B!", "yes"), ("!", "no"), (" ?! ", "yes")]
    loaded = load_rows(train, [*TEST, ("c a", "no"), ("c a", "yes")])
    summary = summarize_dataset(loaded.train, loaded.test, loaded.rows_skipped)
    assert summary["left_out"] == 2
    assert summary["train"] == {"reviews": 6, "positive": 3, "repeated": 1}
    assert summary["test"]["repeated"] == 1
    assert summary["test_in_training"] == 2


YES = ("a", "yes")
NO = ("b", "no")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            [YES, NO, ("c", "maybe")],
            None,
            "row 3 (line 4): column 'label' has a third label, 'maybe'",
        ),
        (TRAIN, [("a", "maybe")], "test.csv, row 1 (line 2): column 'label'"),
        ([("a", "1"), ("b", "0")], None, "Only 'yes' (positive) and '1' were expected"),
        ([("!", "yes"), ("?", "no")], None, "train.csv has no row with a known word"),
        ([YES, NO, ("", "no")], None, "row 3 (line 4): column 'text': There is no text"),
        ([YES] * 3, None, "all of the 3 rows have the label 'yes'"),
        (TRAIN, [NO] * 2, "test.csv, test set: none of the 2 rows"),
        ([YES, NO], None, "fetch.table.test_share: "),
    ],
)
def test_unfit_tables_are_refused(
    load_rows: Loader, train: Rows, test: Rows | None, message: str
) -> None:
    with pytest.raises(UserError) as raised:
        load_rows(train, test)
    assert message in str(raised.value)
