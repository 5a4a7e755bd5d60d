"""Tell the two labels of a table from others."""

from typing import Any

import pytest

from sentiment.data.binary_labels import MAX_LABELS, BinaryLabels, normalize_label
from sentiment.errors import UserError


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ([1, 1.0, "1", "1.0"], "1"),
        ([-2, -2.0, "-2", "-2.00"], "-2"),
        ([0.5, "0.5"], "0.5"),
        ([True, "true", "True"], "true"),
        (["007"], "007"),
        (["1e5"], "1e5"),
        (["NA"], "NA"),
    ],
)
def test_equal_numbers_and_booleans_are_one_label(values: list[Any], label: str) -> None:
    assert {normalize_label(value) for value in values} == {label}


def labels_of(*labels: str) -> BinaryLabels:
    read = BinaryLabels("6", "stars")
    for number, label in enumerate(labels, 1):
        read.learn(label, f"row {number}")
    return read


def test_labels_have_indices_and_the_positive_one_is_the_second() -> None:
    read = BinaryLabels("6", "stars")
    assert [read.learn(label, "row 1") for label in ("6", "5", "6")] == [1, 0, 1]
    assert read.names() == ["5", "6"]


def test_positive_label_that_no_row_has_is_named_with_the_labels_that_there_are() -> None:
    with pytest.raises(UserError) as raised:
        labels_of("5", "1", "5").check_two("a.csv")
    assert str(raised.value) == (
        "a.csv: no row has the positive label '6' in column 'stars'. Its labels are '5', '1'. Name "
        "one of them as the positive label."
    )


def test_third_label_is_named_with_its_row() -> None:
    with pytest.raises(UserError, match=r"row 3: column 'stars' has a third label, '1'"):
        labels_of("5", "5", "1", "6").check_two("a.csv")


def test_column_of_many_values_is_refused_early() -> None:
    with pytest.raises(UserError, match=r"row 101: column 'stars' has more than 100 labels"):
        labels_of(*map(str, range(10, MAX_LABELS + 11)))
