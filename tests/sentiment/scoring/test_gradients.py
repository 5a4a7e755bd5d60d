import numpy as np
import pandas as pd
import pytest

from sentiment import gradients

PAD = 0
PRE = np.array([[0, 0, 5, 6], [0, 5, 6, 7], [5, 6, 7, 8], [0, 0, 0, 5], [8, 7, 6, 5]])
POST = np.array([[5, 6, 0, 0], [5, 6, 7, 0]])


def test_the_sample_is_the_first_reviews_that_fill_their_row_then_the_longest() -> None:
    assert gradients.sample(PRE, PAD, 2).tolist() == [[5, 6, 7, 8], [8, 7, 6, 5]]
    assert gradients.sample(PRE, PAD, 3).tolist()[2] == [0, 5, 6, 7]
    assert len(gradients.sample(PRE, PAD, 99)) == len(PRE)


@pytest.mark.parametrize(
    ("x", "norms", "expected"),
    [
        (PRE[:2], [[1, 3, 1, 3], [2, 2, 6, 18]], [[1.5, 0.5], [1.5, 0.5]]),
        (POST, [[3, 1, 1, 3], [2, 2, 6, 18]], [[0.5, 1.5], [1.5, 0.5]]),
        (np.ones((1, 3)), [[0, 0, 0]], [[0, 0, 0]]),
    ],
    ids=["pre", "post", "none"],
)
def test_distances_count_from_the_last_word_and_are_shares_of_the_review_s_mean(
    x: np.ndarray, norms: list[list[float]], expected: list[list[float]]
) -> None:
    assert gradients.by_distance(np.array(norms, np.float32), x, PAD).tolist() == expected


def test_the_table_is_relative_to_the_last_word_or_else_to_the_greatest_mean() -> None:
    table = gradients.table(np.array([[2.0, 1.0], [2.0, 3.0]]))
    assert table["mean"].tolist() == [1.0, 1.0]
    assert table["low"].tolist() == pytest.approx([1.0, 0.6])
    assert table["high"].tolist() == pytest.approx([1.0, 1.4])
    assert gradients.table(np.array([[0.0, 4.0, 2.0]]))["mean"].tolist() == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("means", "expected"), [([1.0, 0.5, 0.01, 0.009], 2), ([1.0, 50.0, 0.4], 1), ([0.0, 0.0], 0)]
)
def test_the_reach_ends_at_a_hundredth_of_the_greatest_mean(
    means: list[float], expected: int
) -> None:
    table = pd.DataFrame({"distance": range(len(means)), "mean": means})
    assert gradients.reach(table) == expected
