import numpy as np
import pandas as pd
import pytest

from sentiment import gradients

PAD = 0
PRE = np.array([[0, 0, 5, 6], [0, 5, 6, 7], [5, 6, 7, 8], [0, 0, 0, 5], [8, 7, 6, 5]])
POST = np.array([[5, 6, 0, 0], [5, 6, 7, 0]])


def test_the_sample_is_the_first_reviews_that_fill_their_row() -> None:
    assert gradients.sample(PRE, PAD, 2).tolist() == [[5, 6, 7, 8], [8, 7, 6, 5]]


def test_where_too_few_fill_their_row_the_longest_are_taken() -> None:
    assert gradients.sample(PRE, PAD, 3).tolist()[2] == [0, 5, 6, 7]
    assert len(gradients.sample(PRE, PAD, 99)) == len(PRE)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (PRE[:2], [[1.5, 0.5], [1.5, 0.5]]),
        (POST, [[0.5, 1.5], [1.5, 0.5]]),
    ],
    ids=["pre", "post"],
)
def test_distances_count_from_the_last_word_at_either_side_of_the_padding(
    x: np.ndarray, expected: list[list[float]]
) -> None:
    norms = np.array([[1, 3, 1, 3], [2, 2, 6, 18]], np.float32)
    norms[0] = [3, 1, 1, 3] if x is POST else norms[0]
    found = gradients.by_distance(norms, x, PAD)
    assert found.tolist() == expected


def test_each_review_counts_the_same_however_large_its_gradients() -> None:
    norms = np.array([[1, 1, 2], [100, 100, 200], [0, 0, 0]], np.float32)
    found = gradients.by_distance(norms, np.ones((3, 3)), PAD)
    assert found.tolist() == [[1.5, 0.75, 0.75], [1.5, 0.75, 0.75], [0, 0, 0]]


def test_the_table_is_relative_to_the_last_word_with_the_spread_over_reviews() -> None:
    shares = np.array([[2.0, 1.0], [2.0, 3.0]])
    found = gradients.table(shares)
    assert found["distance"].tolist() == [0, 1]
    assert found["mean"].tolist() == [1.0, 1.0]
    assert found["low"].tolist() == pytest.approx([1.0, 0.6])
    assert found["high"].tolist() == pytest.approx([1.0, 1.4])


def test_without_a_gradient_at_any_last_word_the_greatest_mean_is_the_unit() -> None:
    assert gradients.table(np.array([[0.0, 4.0, 2.0]]))["mean"].tolist() == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([1.0, 0.5, 0.01, 0.009], 2),
        ([1.0, 0.001, 0.2, 0.001], 2),
        ([1.0, 50.0, 0.4], 1),
        ([1.0], 0),
        ([0.0, 0.0], 0),
    ],
)
def test_the_reach_is_the_greatest_distance_at_a_hundredth_of_the_greatest_mean(
    means: list[float], expected: int
) -> None:
    found = pd.DataFrame({"distance": range(len(means)), "mean": means})
    assert gradients.reach(found) == expected


def test_the_curve_of_a_metric_has_the_distances_as_steps() -> None:
    found = gradients.table(np.array([[2.0, 1.0]]))
    curve = gradients.curve(found, "gradient_norm")
    assert curve["gradient_norm"].to_dict() == {0: 1.0, 1: 0.5}
