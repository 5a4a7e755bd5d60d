"""A comparison says what the predictions support, and no more."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from extras.compare.comparison import (
    Side,
    changed_params,
    conclusion,
    metrics_table,
    paired_interval,
    t_test,
)
from sentiment.evaluation.metrics import CONFIDENCE
from tests.evaluations import INPUTS
from workflow.promotion import DiscordantPairs, mcnemar_p_value
from workflow.versions import Evaluation

REVIEWS = 40


def side(
    letter: str,
    *wrong: range,
    params: list[dict[str, str]] | None = None,
    metrics: list[dict[str, float]] | None = None,
) -> Side:
    """Return a side with a run for each range, which is wrong about the reviews in this range."""
    return Side(
        letter=letter,
        run_id=letter,
        name=letter,
        run_ids=[f"{letter}{number}" for number in range(len(wrong))],
        params=params or [],
        metrics=metrics or [],
        evaluations=[
            Evaluation(INPUTS, predictions(np.isin(np.arange(REVIEWS), reviews)))
            for reviews in wrong
        ],
    )


def predictions(is_wrong: NDArray[np.bool_]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "review": np.arange(len(is_wrong)),
            "actual": "positive",
            "predicted": np.where(is_wrong, "negative", "positive"),
        }
    )


def test_better_side_is_named_with_interval_and_p_value() -> None:
    a = side("A", range(12))
    b = side("B", range(39, 40))
    low, high = paired_interval(DiscordantPairs(1, 12), REVIEWS)
    assert conclusion(a, b) == (
        "B is more accurate: B − A is +27.50 percentage points of accuracy on 40 reviews "
        f"(95% interval {100 * low:+.2f} to {100 * high:+.2f}, McNemar's exact test, p = 0.0034)."
    )  # p by hand: 2 · (1 + 13) / 2^13
    assert conclusion(b, a).startswith("B is more accurate: A − B is -27.50 percentage points")


def test_difference_that_may_be_chance_is_not_called_one() -> None:
    sentence = conclusion(side("A", range(1, 3)), side("B", range(39, 40)))
    assert sentence.startswith("No difference shown: B − A is +2.50 percentage points")
    assert sentence.endswith("p = 1).")


def test_runs_are_the_sample_if_a_side_has_several() -> None:
    sentence = conclusion(side("A", range(12)), side("B", range(2), range(3), range(4)))
    # by hand: 9 of 40, standard deviation 1 of 40: t = 9 / √(1 + 1/3), two degrees of freedom
    assert sentence.startswith("B is more accurate: B − A is +22.50 percentage points")
    assert sentence.endswith("t-test of 1 and 3 runs, p = 0.016).")


def test_paired_interval_is_that_of_clopper_and_pearson() -> None:
    # 5 of 5 have a lower limit of 0.025^(1/5), and 0 of 5 an upper limit of 1 - 0.025^(1/5)
    low = 0.025 ** (1 / 5)
    assert paired_interval(DiscordantPairs(0, 5), 40) == pytest.approx(
        (0.125 * (2 * low - 1), 0.125)
    )
    assert paired_interval(DiscordantPairs(5, 0), 40) == pytest.approx(
        (-0.125, -0.125 * (2 * low - 1))
    )
    assert paired_interval(DiscordantPairs(0, 0), 40) == (0, 0)


def test_paired_interval_contains_zero_exactly_if_the_p_value_is_not_below_the_level() -> None:
    for only_champion, only_candidate in product(range(12), repeat=2):
        pairs = DiscordantPairs(only_champion, only_candidate)
        low, high = paired_interval(pairs, 100)
        assert (low <= 0 <= high) == (mcnemar_p_value(pairs) >= 1 - CONFIDENCE), pairs


def test_t_test_is_that_of_welch() -> None:
    # by hand: means 2 and 5, variances 1 and 4, three runs each
    t = 3 / np.sqrt(1 / 3 + 4 / 3)
    freedom = (1 / 3 + 4 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
    interval, p_value = t_test(np.array([1.0, 2, 3]), np.array([3.0, 5, 7]))
    assert p_value == pytest.approx(2 * stats.t.sf(t, freedom))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(1 / 3 + 4 / 3)
    assert interval == pytest.approx((3 - half, 3 + half))


def test_sides_that_do_not_vary_show_no_difference() -> None:
    same = np.array([0.8, 0.8])
    assert t_test(same, same + 0.1) == ((-1, 1), 1)


def test_params_that_differ_are_listed_with_all_values_of_a_side() -> None:
    a = side("A", params=[{"train.units": "4", "train.seed": "42", "pad.num_words": "9"}])
    b = side(
        "B",
        params=[
            {"train.units": "4", "train.seed": "43", "train.linear.ngrams": "3"},
            {"train.units": "4", "train.seed": "44", "train.linear.ngrams": "3"},
        ],
    )
    assert changed_params([a, b]).to_numpy().tolist() == [
        ["pad.num_words", "9", "–"],
        ["train.linear.ngrams", "–", "3"],
        ["train.seed", "42", "43, 44"],
    ]


def test_metrics_are_means_with_differences_to_the_first_side() -> None:
    a = side("A", metrics=[{"test_accuracy": 0.8, "test_f1": 0.7, "epochs": 5.0}])
    b = side("B", metrics=[{"test_accuracy": 0.7}, {"test_accuracy": 0.8}])
    c = side("C", metrics=[{"test_accuracy": 0.9, "test_f1": 0.75}])
    table = metrics_table([a, b, c])
    assert table.columns.tolist() == ["metric", "A", "B", "B − A", "C", "C − A"]
    assert table.to_numpy().tolist() == [
        ["test_accuracy", "0.8000", "0.7500", "-0.0500", "0.9000", "+0.1000"],
        ["test_f1", "0.7000", "–", "–", "0.7500", "+0.0500"],
    ]
