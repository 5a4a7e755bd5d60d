"""Values become labels, probabilities have a column for each, and one of them is predicted."""

from typing import Any

import numpy as np
import pytest

from sentiment.text.labels import (
    label_names_in,
    label_probabilities,
    normalize_label,
    predicted_labels,
)


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


def test_a_single_output_is_the_probability_of_the_second_label() -> None:
    outputs = np.array([[0.25], [1.0]], np.float32)
    probabilities = label_probabilities(outputs)
    assert probabilities.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert probabilities.dtype == np.float32


def test_several_outputs_are_the_probabilities() -> None:
    outputs = np.array([[0.25, 0.5, 0.25]], np.float32)
    assert label_probabilities(outputs).tolist() == outputs.tolist()


def test_the_second_of_two_labels_is_predicted_above_the_threshold() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [0.125, 0.875]], np.float32)
    assert predicted_labels(probabilities, 0.75).tolist() == [0, 0, 1]


def test_the_most_probable_of_more_labels_is_predicted() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]], np.float32)
    assert predicted_labels(probabilities, 0.9).tolist() == [1, 0]


def test_labels_are_read_off_the_columns_of_a_table() -> None:
    assert label_names_in(["review", "probability_bad", "probability_good"]) == ["bad", "good"]
