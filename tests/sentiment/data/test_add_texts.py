"""Added texts join a dataset, and always the same one of its two sets."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sentiment.data.rows import BinaryLabels, Row, Source
from sentiment.data.table import EncodedDataset, add_texts
from sentiment.errors import UserError
from sentiment.tokenizer import Reviews
from tests.sentiment.data.test_table import rank_lists, write_table
from workflow.params import Params

RANKS = {"good": 1, "bad": 2, "film": 3} | {f"w{number}": 4 + number for number in range(400)}
OWN = EncodedDataset(
    Reviews.from_lists([[1, 3], [2, 3]], np.array([1, 0])),
    Reviews.from_lists([[1, 1, 1], [2, 2, 2], [2, 3]], np.array([1, 0, 0])),
    RANKS,
    rows_skipped=1,
)
MANY = [(f"film w{number}", "yes" if number % 2 else "no") for number in range(400)]
Joiner = Callable[..., EncodedDataset]


@pytest.fixture
def join(tmp_path: Path, default_params: Params) -> Joiner:
    """Add the rows of tables to `OWN`, one table for each argument."""

    def join_rows(*tables: Sequence[tuple[str, str]], **changes: object) -> EncodedDataset:
        update = {"positive": "yes", **changes}
        params = default_params.fetch.table.model_copy(update=update)
        paths = [tmp_path / f"{number}.csv" for number, _ in enumerate(tables)]
        for path, rows in zip(paths, tables, strict=True):
            write_table(path, rows, "text,label")
        sources = [Source(path, path.name) for path in paths]
        labels = BinaryLabels(params.positive, params.label)
        labels.is_positive(Row("row 1 of the dataset", "", "no", ""))
        return add_texts(OWN, params, "keras", sources, labels)

    return join_rows


def added_reviews(loaded: EncodedDataset) -> list[set[tuple[int, ...]]]:
    """Return the reviews that joined the training set, and those that joined the test set."""
    splits = [(loaded.train, OWN.train), (loaded.test, OWN.test)]
    return [{*map(tuple, rank_lists(split)[len(own) :])} for split, own in splits]


def test_added_texts_follow_the_dataset_and_use_its_word_index(join: Joiner) -> None:
    rows = [("A GOOD, good film!", "yes"), ("bad, unheard", "no"), ("?", "no")]
    loaded = join(rows, test_share=1e-9)
    assert rank_lists(loaded.train) == [[1, 3], [2, 3], [1, 1, 3], [2]]
    assert loaded.train.labels.tolist() == [1, 0, 1, 0]
    assert rank_lists(loaded.test) == rank_lists(OWN.test)
    assert (loaded.word_index, loaded.rows_skipped) == (RANKS, 2)


def test_added_text_always_joins_the_same_set(
    join: Joiner,
) -> None:
    before = added_reviews(join(MANY[:100]))
    after = added_reviews(join(MANY[100:], MANY[:100][::-1]))
    assert before[0] < after[0]
    assert before[1] < after[1]
    assert len(after[0]) + len(after[1]) == 400
    assert 52 <= len(after[1]) <= 108  # 80, within 3.5 standard deviations
    assert added_reviews(join(MANY, split_seed=1))[1] != after[1]
    tested = join([("film unheard of", "yes"), ("bad", "no")], test_share=1 - 1e-9)
    assert tested.words_dropped.tolist() == [0, 0, 0, 2, 0]
    assert after[1] < added_reviews(join(MANY, test_share=0.5))[1]


def test_only_the_first_of_texts_that_read_the_same_is_added(join: Joiner) -> None:
    again = [(f"Film, unheard{label} {text.split()[1].upper()}", label) for text, label in MANY]
    loaded = join(MANY, again)
    train, test = added_reviews(loaded)
    assert not train & test
    assert len(loaded.train) + len(loaded.test) == 5 + len(MANY)
    assert loaded.rows_skipped == OWN.rows_skipped + len(MANY)


def test_reviews_of_the_dataset_are_not_added_again(join: Joiner) -> None:
    own = [("good film", "yes"), ("bad film", "no"), ("good good good", "yes")]  # from both sets
    for share in (1e-9, 1 - 1e-9):
        loaded = join(own, test_share=share)
        assert added_reviews(loaded) == [set(), set()]
        assert loaded.rows_skipped == OWN.rows_skipped + 3
        assert len(loaded.words_dropped) == len(OWN.test)


def test_texts_without_a_known_word_are_skipped(join: Joiner) -> None:
    unknown = [(f"unheard{number}", "yes" if number % 2 else "no") for number in range(40)]
    loaded = join([*unknown, ("bad", "no"), ("good", "yes")], test_share=1e-9)
    assert added_reviews(loaded) == [{(1,), (2,)}, set()]
    assert loaded.rows_skipped == OWN.rows_skipped + 40


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        (["yes", "never"], {}, "1.csv, row 1 (line 2): column 'label' has a third label, 'never'"),
        (["yes"], {}, "fetch.added_texts: all of the 1 rows have the label 'yes'"),
        (["no"], {"group": "author"}, "fetch.added_texts needs an empty fetch.table.group"),
    ],
)
def test_unfit_tables_are_refused(
    join: Joiner, labels: list[str], changes: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError) as raised:
        join(*([("good", label)] for label in labels), **changes)
    assert message in str(raised.value)
