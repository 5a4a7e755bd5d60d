"""Two models are compared by metrics that equal scikit-learn's, and by intervals over texts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from sentiment.evaluation.comparison import (
    BETTER,
    NOT_SHOWN,
    WORSE,
    Difference,
    MetricName,
    compare_predictions,
    describe_difference,
    describe_verdict,
    find_verdict,
    select_common_texts,
)
from sentiment.evaluation.intervals import Interval

TWO = ["negative", "positive"]
THREE = ["bad", "fair", "good"]
METRICS: tuple[MetricName, ...] = ("accuracy", "f1")
ROWS = st.lists(
    st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=12
)  # three labels of each text


def table(actual: NDArray[np.intp], predicted: NDArray[np.intp], names: list[str]) -> pd.DataFrame:
    """Return predictions, given indices of labels."""
    columns = {"actual": np.array(names)[actual], "predicted": np.array(names)[predicted]}
    probabilities = {f"probability_{name}": 1 / len(names) for name in names}
    return pd.DataFrame({"row": np.arange(len(actual)), **columns, **probabilities})


def two_tables(
    texts: int, names: list[str], accuracy_a: float = 0.6, accuracy_b: float = 0.7
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return random predictions of A and B."""
    rng = np.random.default_rng(0)
    actual = rng.integers(0, len(names), texts)

    def predict(accuracy: float) -> pd.DataFrame:
        others = (actual + rng.integers(1, len(names), texts)) % len(names)
        return table(actual, np.where(rng.random(texts) < accuracy, actual, others), names)

    return predict(accuracy_a), predict(accuracy_b)


def score(predictions: pd.DataFrame, metric: MetricName, names: list[str]) -> float:
    """Return a metric by scikit-learn: macro F1 of all labels that are actual, with three."""
    actual, predicted = (
        predictions[column].map(names.index).to_numpy() for column in ("actual", "predicted")
    )
    if metric == "accuracy":
        return float(accuracy_score(actual, predicted))
    averaged = [1] if len(names) == 2 else np.unique(actual)
    return float(f1_score(actual, predicted, labels=averaged, average="macro", zero_division=0))


@settings(max_examples=40, deadline=None)
@given(ROWS)
@pytest.mark.parametrize("metric", METRICS)
def test_the_values_of_both_models_equal_those_of_scikit_learn(
    metric: MetricName, rows: list[tuple[int, int, int]]
) -> None:
    """Labels may be predicted never, or only by one model, or not occur."""
    for names in (TWO, THREE):
        actual, of_a, of_b = np.array(rows).T % len(names)
        a, b = table(actual, of_a, names), table(actual, of_b, names)
        difference = compare_predictions(a, b, metric)
        assert difference.a == pytest.approx(score(a, metric, names))
        assert difference.b == pytest.approx(score(b, metric, names))


@pytest.mark.parametrize("names", [TWO, THREE])
@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_has_the_quantiles_of_a_paired_bootstrap(
    metric: MetricName, names: list[str]
) -> None:
    a, b = two_tables(300, names)
    rng = np.random.default_rng(1)
    differences = []
    for _ in range(200):
        drawn = rng.integers(0, 300, 300)
        differences.append(
            score(b.iloc[drawn], metric, names) - score(a.iloc[drawn], metric, names)
        )
    difference = compare_predictions(a, b, metric)
    expected = np.quantile(differences, [0.025, 0.975])
    assert difference.interval == pytest.approx(expected, abs=0.015)
    assert difference.interval is not None
    assert difference.strict_interval is not None
    assert difference.strict_interval.low < difference.interval.low
    assert difference.interval.high < difference.strict_interval.high


@pytest.mark.parametrize("names", [TWO, THREE])
@pytest.mark.parametrize("metric", METRICS)
def test_without_a_text_that_matters_there_is_no_interval(
    metric: MetricName, names: list[str]
) -> None:
    a, _ = two_tables(50, names)
    difference = compare_predictions(a, a, metric)
    assert (difference.a, difference.interval) == (difference.b, None)
    assert find_verdict(difference.strict_interval) == NOT_SHOWN
    assert "without an interval" in describe_difference(difference)


def test_the_labels_of_b_are_used_for_both_models() -> None:
    """A label that B's table does not have is a miss."""
    b = table(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]), THREE)
    a = table(np.array([0, 0, 0, 0]), np.array([0, 1, 2, 2]), ["bad", "mixed", "good"])
    assert compare_predictions(a, b, "accuracy").a == 3 / 4
    # F1 of bad 1, of fair 0, of good 1
    assert compare_predictions(a, b, "f1").a == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("interval", "verdict", "place"),
    [
        (Interval(0.001, 0.02), BETTER, "+0.10 to +2.00, lies above 0."),
        (Interval(-0.02, -0.001), WORSE, "-2.00 to -0.10, lies below 0."),
        (Interval(0.0, 0.02), NOT_SHOWN, "+0.00 to +2.00, contains 0."),
    ],
)
def test_b_is_better_if_the_99_percent_interval_lies_above_0(
    interval: Interval, verdict: str, place: str
) -> None:
    difference = Difference("accuracy", 0.8, 0.81, 600, Interval(-0.5, 0.5), interval)
    assert describe_verdict(difference) == f"{verdict}: the 99% interval, {place}"


def test_the_difference_is_described_in_points() -> None:
    difference = Difference("f1", 0.8472, 0.924, 600, Interval(-1e-9, 0.0806), None)
    assert describe_difference(difference) == (
        "+7.68 points of F1, 95% interval +0.00 to +8.06"  # no zero is negative
    )


def test_texts_are_matched_as_often_as_both_tables_have_them() -> None:
    a = pd.DataFrame({"text_id": ["x", "y", "x", "x", "z"], "predicted": [*"abcde"]})
    b = pd.DataFrame({"text_id": ["z", "x", "w", "x"], "predicted": [*"1234"]})
    of_a, of_b = select_common_texts(a, b)
    assert of_b["text_id"].tolist() == of_a["text_id"].tolist() == ["z", "x", "x"]
    assert of_b["predicted"].tolist() == ["1", "2", "4"]
    assert of_a["predicted"].tolist() == ["e", "a", "c"]
