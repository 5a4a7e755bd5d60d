"""Compute metrics and curves from a table of predictions.

A table of predictions has a row for each review, and these columns: `review` (its number in its
dataset), `actual` and `predicted` (labels), `probability_negative` and `probability_positive`,
`words` and `unknown_words` (their numbers), and `seen_in_training` (whether the same review occurs
in training). Formulas without another source are scikit-learn's.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sklearn.metrics
from numpy.typing import NDArray

from sentiment.prediction.labels import LABELS, NEGATIVE, POSITIVE, probability_column

PROBABILITY = probability_column(POSITIVE)
CONFIDENCE = 0.95  # of every confidence interval
MAX_ROC_POINTS = 200  # git keeps the table of the curve; with more points, it looks the same
CALIBRATION_BINS = 10  # groups of equal width by probability
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


def sklearn_metric(
    column: str, function: Callable[..., float], **arguments: Any
) -> Callable[[pd.DataFrame], float]:
    """Return a function that applies scikit-learn's to the actual classes and a column."""
    return lambda predictions: float(
        function(predictions["actual"], predictions[column], **arguments)
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
        "balanced accuracy", sklearn_metric("predicted", sklearn.metrics.balanced_accuracy_score)
    ),
    "loss": Metric("loss", sklearn_metric(PROBABILITY, sklearn.metrics.log_loss, labels=LABELS)),
    "precision": accuracy_among("precision", lambda table: table[table["predicted"] == POSITIVE]),
    "recall": accuracy_among("recall", lambda table: table[table["actual"] == POSITIVE]),
    "f1": Metric(
        "F1",
        sklearn_metric(
            "predicted", sklearn.metrics.f1_score, pos_label=POSITIVE, zero_division=0.0
        ),
    ),
    "roc_auc": Metric("ROC AUC", sklearn_metric(PROBABILITY, sklearn.metrics.roc_auc_score)),
    "average_precision": Metric(  # area under the precision-recall curve
        "average precision",
        sklearn_metric(PROBABILITY, sklearn.metrics.average_precision_score, pos_label=POSITIVE),
    ),
    "brier": Metric(
        "Brier score",
        sklearn_metric(PROBABILITY, sklearn.metrics.brier_score_loss, pos_label=POSITIVE),
    ),
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


def class_names(positive: NDArray[Any]) -> NDArray[np.str_]:
    """Return "positive" for each true value and "negative" for each false one, of any shape."""
    return np.where(positive.astype(bool), POSITIVE, NEGATIVE)


def confusion_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the number of `reviews` for each combination of `actual` and `predicted`."""
    matrix = sklearn.metrics.confusion_matrix(
        predictions["actual"], predictions["predicted"], labels=LABELS
    )
    cells = pd.MultiIndex.from_product([LABELS, LABELS], names=["actual", "predicted"])
    return pd.DataFrame({"reviews": matrix.ravel()}, cells).reset_index()


def roc_curve(predictions: pd.DataFrame, max_points: int = MAX_ROC_POINTS) -> pd.DataFrame:
    """Return the ROC curve: columns `false_positive_rate` and `true_positive_rate`.

    The curve may have thousands of corners. At most `max_points` of them are kept, evenly spaced
    along the curve, including both ends.
    """
    false_positive, true_positive, _ = sklearn.metrics.roc_curve(
        predictions["actual"], predictions[PROBABILITY], pos_label=POSITIVE
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
    groups = np.digitize(predictions[PROBABILITY], edges[1:-1], right=True)
    is_positive = (predictions["actual"] == POSITIVE).to_numpy()
    table = pd.DataFrame({"predicted": predictions[PROBABILITY], "observed": is_positive})
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
    error = (wrong[PROBABILITY] - (wrong["actual"] == POSITIVE)).abs()
    return wrong.loc[error.sort_values(ascending=False, kind="stable").index[:count]]


def compute_metrics(predictions: pd.DataFrame) -> dict[str, float]:
    """Return all metrics that are defined, with the prefix `test_`."""
    values = {name: metric.compute(predictions) for name, metric in METRICS.items()}
    return {f"test_{name}": value for name, value in values.items() if not math.isnan(value)}
