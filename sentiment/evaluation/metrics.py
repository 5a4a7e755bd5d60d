"""Compute metrics and curves from a table of predictions.

A table of predictions has a row for each review, and these columns: `review` (its number in its
dataset), `actual` and `predicted` (labels), `probability_<label>` for each label in the order of
their indices, `words` and `unknown_words` (their numbers), and `seen_in_training` (whether the same
review occurs in training). The second of the two labels is called positive here. Formulas without
another source are scikit-learn's.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sklearn.metrics

from sentiment.prediction.labels import labels_of_columns, probability_column

CONFIDENCE = 0.95  # of every confidence interval
MAX_ROC_POINTS = 200  # git keeps the table of the curve; with more points, it looks the same
CALIBRATION_BINS = 10  # groups of equal width by probability
CLASSES = (False, True)  # of the log loss, also for a table in which all labels are the same
LENGTH_BOUNDS = (100, 200, 400)  # words: the greatest number of each group by length


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Metric(NamedTuple):
    """A metric of predictions.

    Attributes:
        label: its name in reports.
        compute: returns its value for a table of predictions, or NaN if it is not defined.
        proportion: if the metric is a proportion, returns its numbers of successes and trials.
    """

    label: str
    compute: Callable[[pd.DataFrame], float]
    proportion: Callable[[pd.DataFrame], tuple[int, int]] | None = None

    def interval(self, predictions: pd.DataFrame, confidence: float) -> Interval | None:
        """Return Wilson's interval, or None if the metric is no proportion or has no reviews."""
        successes, trials = self.proportion(predictions) if self.proportion else (0, 0)
        return wilson_interval(successes, trials, confidence) if trials else None


def positive_label(predictions: pd.DataFrame) -> str:
    """Return the second label."""
    return labels_of_columns(predictions.columns)[1]


def positive_probability(predictions: pd.DataFrame) -> pd.Series:
    """Return the probability of the positive label."""
    return predictions[probability_column(positive_label(predictions))]


def is_positive(predictions: pd.DataFrame, column: str) -> pd.Series:
    """Return whether each label in the column `actual` or `predicted` is the positive one."""
    return predictions[column] == positive_label(predictions)


def label_metric(
    function: Callable[..., float], **arguments: Any
) -> Callable[[pd.DataFrame], float]:
    """Return a function that applies scikit-learn's to the actual and the predicted labels."""
    return lambda predictions: float(
        function(
            is_positive(predictions, "actual"), is_positive(predictions, "predicted"), **arguments
        )
    )


def probability_metric(function: Callable[..., float]) -> Callable[[pd.DataFrame], float]:
    """Return a function that applies scikit-learn's to the actual labels and the probabilities."""
    return lambda predictions: float(
        function(is_positive(predictions, "actual"), positive_probability(predictions))
    )


def accuracy_among(
    label: str, choose: Callable[[pd.DataFrame], pd.DataFrame], if_empty: float = 0.0
) -> Metric:
    """Return a metric: the accuracy among chosen predictions, or `if_empty` without any."""

    def proportion(predictions: pd.DataFrame) -> tuple[int, int]:
        table = choose(predictions)
        return int((table["actual"] == table["predicted"]).sum()), len(table)

    def compute(predictions: pd.DataFrame) -> float:
        correct, reviews = proportion(predictions)
        return correct / reviews if reviews else if_empty

    return Metric(label, compute, proportion)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy_among("accuracy", lambda table: table),
    "balanced_accuracy": Metric(
        "balanced accuracy", label_metric(sklearn.metrics.balanced_accuracy_score)
    ),
    "loss": Metric("loss", probability_metric(partial(sklearn.metrics.log_loss, labels=CLASSES))),
    "precision": accuracy_among("precision", lambda table: table[is_positive(table, "predicted")]),
    "recall": accuracy_among("recall", lambda table: table[is_positive(table, "actual")]),
    "f1": Metric("F1", label_metric(sklearn.metrics.f1_score, zero_division=0.0)),
    "roc_auc": Metric("ROC AUC", probability_metric(sklearn.metrics.roc_auc_score)),
    "average_precision": Metric(  # area under the precision-recall curve
        "average precision", probability_metric(sklearn.metrics.average_precision_score)
    ),
    "brier": Metric("Brier score", probability_metric(sklearn.metrics.brier_score_loss)),
    "ece": Metric("calibration error", lambda predictions: calibration_error(predictions)),
    "accuracy_unseen": accuracy_among(
        "accuracy on unseen reviews",
        lambda table: table[~table["seen_in_training"]],
        if_empty=math.nan,
    ),
}


def wilson_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Return Wilson's confidence interval of a proportion.

    Source: Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    from scipy.stats import binomtest

    ends = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def confusion_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the number of `reviews` for each combination of `actual` and `predicted`."""
    labels = labels_of_columns(predictions.columns)
    matrix = sklearn.metrics.confusion_matrix(
        predictions["actual"], predictions["predicted"], labels=labels
    )
    cells = pd.MultiIndex.from_product([labels, labels], names=["actual", "predicted"])
    return pd.DataFrame({"reviews": matrix.ravel()}, cells).reset_index()


def roc_curve(predictions: pd.DataFrame, max_points: int = MAX_ROC_POINTS) -> pd.DataFrame:
    """Return the ROC curve: columns `false_positive_rate` and `true_positive_rate`.

    The curve may have thousands of corners. At most `max_points` of them are kept, evenly spaced
    along the curve, including both ends.
    """
    false_positive, true_positive, _ = sklearn.metrics.roc_curve(
        is_positive(predictions, "actual"), positive_probability(predictions)
    )
    curve = pd.DataFrame(
        {"false_positive_rate": false_positive, "true_positive_rate": true_positive}
    )
    if len(curve) <= max_points:
        return curve
    along = curve.sum(axis="columns")  # rises from 0 to 2: each corner is further right or up
    kept = np.unique(np.searchsorted(along, np.linspace(0, 2, max_points)))
    return curve.iloc[kept].reset_index(drop=True)


def accuracy_by_length(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of groups of reviews by length, see `LENGTH_BOUNDS`.

    Returns:
        Columns `words` (such as `101-200`), `reviews` (their number) and `accuracy`, with a row for
        each group that has reviews.
    """
    names = [f"{low + 1}-{high}" for low, high in pairwise([0, *LENGTH_BOUNDS])]
    names.append(f"over {LENGTH_BOUNDS[-1]}")
    # Reviews without a known word have 0 words, and belong to the first group.
    groups = pd.cut(predictions["words"], [-1, *LENGTH_BOUNDS, np.inf], labels=names)
    is_correct = predictions["actual"] == predictions["predicted"]
    table = is_correct.groupby(groups, observed=True).agg(reviews="count", accuracy="mean")
    return table.reset_index()


def reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare predicted probabilities with the share of reviews that are positive.

    Returns:
        Columns `predicted` (mean probability), `observed` (share of positive reviews) and
        `reviews` (their number), with a row for each group by probability that has reviews.
    """
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    probability = positive_probability(predictions)
    groups = np.digitize(probability, edges[1:-1], right=True)
    observed = is_positive(predictions, "actual")
    table = pd.DataFrame({"predicted": probability, "observed": observed})
    grouped = table.groupby(groups)
    return grouped.mean().assign(reviews=grouped.size()).reset_index(drop=True)


def calibration_error(predictions: pd.DataFrame) -> float:
    """Return the expected calibration error: the mean difference, by review, in `reliability`.

    Source: Guo et al. 2017, *On Calibration of Modern Neural Networks*, for a binary classifier.
    """
    groups = reliability(predictions)
    difference = (groups["predicted"] - groups["observed"]).abs()
    return float(np.average(difference, weights=groups["reviews"]))


def mistakes(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the `count` wrong predictions with the greatest error of the probability."""
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    error = (positive_probability(wrong) - is_positive(wrong, "actual")).abs()
    return wrong.loc[error.sort_values(ascending=False, kind="stable").index[:count]]


def compute_metrics(predictions: pd.DataFrame) -> dict[str, float]:
    """Return all metrics that are defined, with the prefix `test_`."""
    values = {name: metric.compute(predictions) for name, metric in METRICS.items()}
    return {f"test_{name}": value for name, value in values.items() if not math.isnan(value)}
