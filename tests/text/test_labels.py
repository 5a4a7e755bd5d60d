"""Values of a table become names of labels, and each label has a column of probabilities."""

from typing import Any

import pytest

from sentiment.text.labels import label_names_in, normalize_label


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


def test_labels_are_read_off_the_columns_of_a_table() -> None:
    assert label_names_in(["review", "probability_bad", "probability_good"]) == ["bad", "good"]
