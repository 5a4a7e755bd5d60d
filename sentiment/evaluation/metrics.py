"""Compute metrics and curves from a table of predictions.

A table of predictions has a row for each test review, and these columns: `review` (its position in
the test set of `data/fetch`), `actual` and `predicted` (`negative` or `positive`), `probability`
(of being positive), `words` (number of words) and `seen_in_training` (whether the same review
occurs in training). Formulas without another source are scikit-learn's.
"""

import math
from collections.abc import Callable, Set
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import sklearn.metrics
from numpy.typing import NDArray

NEGATIVE = "negative"
POSITIVE = "positive"
CLASSES = [NEGATIVE, POSITIVE]
MAX_ROC_POINTS = 200  # git keeps the table of the curve; with more points, it looks the same

Report = Literal["test", "comparison", "groups", "demo", "file"]
ALL_REPORTS: Set[Report] = {"test", "comparison", "groups", "demo", "file"}


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Predictions(NamedTuple):
    """Predictions that metrics are computed from.

    Attributes:
        table: see the module's docstring.
        bins: number of groups by probability in the calibration error.
    """

    table: pd.DataFrame
    bins: int


class Metric(NamedTuple):
    """A metric of predictions.

    Attributes:
        label: its name in reports.
        compute: returns its value, or NaN if it is not defined.
        reports: where it is reported. `test`: in `metrics.json`, and therefore in DVC, MLflow's run
            and the version's tags, from which `groups` (of seeds) and `demo` take it.
            `comparison`: by `make compare`. `file`: by `make evaluate-file`.
        proportion: if the metric is a proportion, its numbers of successes and trials.
    """

    label: str
    compute: Callable[[Predictions], float]
    reports: Set[Report]
    proportion: Callable[[Predictions], tuple[int, int]] | None = None


def sklearn_metric(
    column: str, function: Callable[..., float], **arguments: Any
) -> Callable[[Predictions], float]:
    """Return a function that applies scikit-learn's to the actual classes and a column."""
    return lambda predictions: float(
        function(predictions.table["actual"], predictions.table[column], **arguments)
    )


def accuracy_among(
    label: str,
    choose: Callable[[pd.DataFrame], pd.DataFrame],
    reports: Set[Report],
    if_empty: float = 0.0,
) -> Metric:
    """Return a metric: the accuracy among chosen predictions, or `if_empty` without any."""

    def proportion(predictions: Predictions) -> tuple[int, int]:
        table = choose(predictions.table)
        return int((table["actual"] == table["predicted"]).sum()), len(table)

    def compute(predictions: Predictions) -> float:
        correct, reviews = proportion(predictions)
        return correct / reviews if reviews else if_empty

    return Metric(label, compute, reports, proportion)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy_among("accuracy", lambda table: table, ALL_REPORTS),
    "balanced_accuracy": Metric(
        "balanced accuracy",
        sklearn_metric("predicted", sklearn.metrics.balanced_accuracy_score),
        {"test", "file"},
    ),
    "loss": Metric(
        "loss",
        sklearn_metric("probability", sklearn.metrics.log_loss, labels=CLASSES),
        ALL_REPORTS - {"demo"},
    ),
    "precision": accuracy_among(
        "precision", lambda table: table[table["predicted"] == POSITIVE], {"test", "file"}
    ),
    "recall": accuracy_among(
        "recall", lambda table: table[table["actual"] == POSITIVE], {"test", "file"}
    ),
    "specificity": accuracy_among(
        "specificity", lambda table: table[table["actual"] == NEGATIVE], {"file"}
    ),
    "f1": Metric(
        "F1",
        sklearn_metric(
            "predicted", sklearn.metrics.f1_score, pos_label=POSITIVE, zero_division=0.0
        ),
        {"test", "groups", "file"},
    ),
    "roc_auc": Metric(
        "ROC AUC",
        sklearn_metric("probability", sklearn.metrics.roc_auc_score),
        ALL_REPORTS,
    ),
    "average_precision": Metric(  # area under the precision-recall curve
        "average precision",
        sklearn_metric("probability", sklearn.metrics.average_precision_score, pos_label=POSITIVE),
        {"test", "file"},
    ),
    "brier": Metric(
        "Brier score",
        sklearn_metric("probability", sklearn.metrics.brier_score_loss, pos_label=POSITIVE),
        ALL_REPORTS - {"demo"},
    ),
    "accuracy_unseen": accuracy_among(
        "accuracy on unseen reviews",
        lambda table: table[~table["seen_in_training"]],
        {"test"},
        if_empty=math.nan,  # `metrics.json` leaves it out
    ),
    "ece": Metric(
        "calibration error",
        lambda predictions: calibration_error(*predictions),
        ALL_REPORTS,
    ),
}


def wilson_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Return Wilson's confidence interval of a proportion.

    Source: Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    from scipy.stats import binomtest

    ends = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def metrics_for(report: Report) -> dict[str, Metric]:
    """Return the metrics of a report by name, in the order of `METRICS`."""
    return {name: metric for name, metric in METRICS.items() if report in metric.reports}


def class_names(positive: NDArray[Any]) -> NDArray[np.str_]:
    """Return "positive" for each true value and "negative" for each false one, of any shape."""
    return np.where(positive.astype(bool), POSITIVE, NEGATIVE)


def confusion_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the number of `reviews` for each combination of `actual` and `predicted`."""
    matrix = sklearn.metrics.confusion_matrix(
        predictions["actual"], predictions["predicted"], labels=CLASSES
    )
    cells = pd.MultiIndex.from_product([CLASSES, CLASSES], names=["actual", "predicted"])
    return pd.DataFrame({"reviews": matrix.ravel()}, cells).reset_index()


def roc_curve(predictions: pd.DataFrame, max_points: int = MAX_ROC_POINTS) -> pd.DataFrame:
    """Return the ROC curve: columns `false_positive_rate` and `true_positive_rate`.

    The curve may have thousands of corners. At most `max_points` of them are kept, evenly spaced
    along the curve, including both ends.
    """
    false_positive, true_positive, _ = sklearn.metrics.roc_curve(
        predictions["actual"], predictions["probability"], pos_label=POSITIVE
    )
    curve = pd.DataFrame(
        {"false_positive_rate": false_positive, "true_positive_rate": true_positive}
    )
    if len(curve) <= max_points:
        return curve
    along = curve.sum(axis="columns")  # rises from 0 to 2: each corner is further right or up
    kept = np.unique(np.searchsorted(along, np.linspace(0, 2, max_points)))
    return curve.iloc[kept].reset_index(drop=True)


def accuracy_by_length(predictions: pd.DataFrame, bounds: list[int]) -> pd.DataFrame:
    """Return the accuracy of groups of reviews by length.

    Args:
        predictions: see the module's docstring.
        bounds: the greatest number of words of each group, ascending.

    Returns:
        Columns `words` (such as `101-200`), `reviews` (their number) and `accuracy`, with a row for
        each group that has reviews.
    """
    groups = length_groups(predictions["words"], bounds)
    is_correct = predictions["actual"] == predictions["predicted"]
    table = is_correct.groupby(groups, observed=True).agg(reviews="count", accuracy="mean")
    return table.reset_index()


def length_groups(words: pd.Series, bounds: list[int]) -> pd.Series:
    """Return the name of each review's group by length, see `accuracy_by_length`."""
    names = [f"{low + 1}-{high}" for low, high in pairwise([0, *bounds])] + [f"over {bounds[-1]}"]
    # Reviews without a known word have 0 words, and belong to the first group.
    groups: pd.Series = pd.cut(words, [-1, *bounds, np.inf], labels=names)
    return groups


def reliability(predictions: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Compare predicted probabilities with the share of reviews that are positive.

    Args:
        predictions: see the module's docstring.
        bins: number of groups of equal width by probability, from 0 to 1.

    Returns:
        Columns `predicted` (mean probability), `observed` (share of positive reviews) and
        `reviews` (their number), with a row for each group that has reviews.
    """
    edges = np.linspace(0, 1, bins + 1)
    groups = np.clip(np.digitize(predictions["probability"], edges[1:-1], right=True), 0, bins - 1)
    is_positive = (predictions["actual"] == POSITIVE).to_numpy()
    table = pd.DataFrame({"predicted": predictions["probability"], "observed": is_positive})
    grouped = table.groupby(groups)
    return grouped.mean().assign(reviews=grouped.size()).reset_index(drop=True)


def calibration_error(predictions: pd.DataFrame, bins: int) -> float:
    """Return the expected calibration error: the mean difference, by review, in `reliability`.

    Source: Guo et al. 2017, *On Calibration of Modern Neural Networks*, for a binary classifier.
    """
    groups = reliability(predictions, bins)
    difference = (groups["predicted"] - groups["observed"]).abs()
    return float(np.average(difference, weights=groups["reviews"]))


def mistakes(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the `count` wrong predictions with the greatest error of the probability."""
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    error = (wrong["probability"] - (wrong["actual"] == POSITIVE)).abs()
    return wrong.loc[error.sort_values(ascending=False, kind="stable").index[:count]]


def test_metrics(
    predictions: Predictions, confusion: pd.DataFrame, lengths: pd.DataFrame
) -> dict[str, Any]:
    """Return all metrics of predictions that `metrics.json` has.

    Args:
        predictions: the predictions.
        confusion: see `confusion_matrix`.
        lengths: see `accuracy_by_length`.
    """
    true_negatives, false_positives, false_negatives, true_positives = confusion["reviews"].tolist()
    values = {name: metric.compute(predictions) for name, metric in metrics_for("test").items()}
    return {
        **{f"test_{name}": value for name, value in values.items() if not math.isnan(value)},
        "test_reviews": len(predictions.table),
        "test_reviews_seen": int(predictions.table["seen_in_training"].sum()),
        "test_true_positives": true_positives,
        "test_false_positives": false_positives,
        "test_true_negatives": true_negatives,
        "test_false_negatives": false_negatives,
        "test_accuracy_by_length": dict(zip(lengths["words"], lengths["accuracy"], strict=True)),
    }
