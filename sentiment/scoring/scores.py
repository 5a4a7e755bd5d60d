"""How good the predictions are: pure functions from a table of predictions to metrics.

A table of predictions has a row for each test review: `review` (its position in the test part of
`data/fetch`), `actual` and `predicted` (`negative` or `positive`), `probability` (of being
positive), `words` (its length) and `seen_in_training` (whether the same review occurs there).
Formulas without another source are scikit-learn's.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

NEGATIVE, POSITIVE = CLASSES = ["negative", "positive"]


def class_names(positive: NDArray[Any]) -> NDArray[np.str_]:
    """The class of each true (positive) or false (negative) value."""
    return np.where(positive.astype(bool), POSITIVE, NEGATIVE)


def accuracy_and_loss(
    labels: NDArray[np.uint8], probabilities: NDArray[np.float32]
) -> dict[str, float]:
    """Accuracy at a threshold of one half, and cross-entropy loss (natural logarithm)."""
    return {
        "accuracy": float(metrics.accuracy_score(labels, probabilities > 0.5)),
        "loss": float(metrics.log_loss(labels, probabilities.astype(np.float64))),
    }


def scores(predictions: pd.DataFrame) -> dict[str, float]:
    """Metrics over all test reviews.

    Returns:
        Accuracy, its mean over both labels (balanced), cross-entropy loss (natural logarithm),
        precision, recall, F1, area under the ROC curve, average precision (area under the curve
        of precision by recall), Brier score (mean squared error of the probability) and the
        accuracy over the reviews that do not occur in training, if there are any.
    """
    actual, predicted = predictions["actual"], predictions["predicted"]
    probability = predictions["probability"]
    decided = {"pos_label": POSITIVE, "zero_division": 0.0}
    unseen = predictions[~predictions["seen_in_training"]]
    found = {
        "test_accuracy": float(metrics.accuracy_score(actual, predicted)),
        "test_balanced_accuracy": float(metrics.balanced_accuracy_score(actual, predicted)),
        "test_loss": float(metrics.log_loss(actual, probability, labels=CLASSES)),
        "test_precision": float(metrics.precision_score(actual, predicted, **decided)),
        "test_recall": float(metrics.recall_score(actual, predicted, **decided)),
        "test_f1": float(metrics.f1_score(actual, predicted, **decided)),
        "test_roc_auc": float(metrics.roc_auc_score(actual, probability)),
        "test_average_precision": float(
            metrics.average_precision_score(actual, probability, pos_label=POSITIVE)
        ),
        "test_brier": brier(predictions),
    }
    if len(unseen):
        accuracy = metrics.accuracy_score(unseen["actual"], unseen["predicted"])
        found["test_accuracy_unseen"] = float(accuracy)
    return found


def brier(predictions: pd.DataFrame) -> float:
    """The Brier score: mean squared error of the probability."""
    actual, probability = predictions["actual"], predictions["probability"]
    return float(metrics.brier_score_loss(actual, probability, pos_label=POSITIVE))


def confusion_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Counts of reviews: columns `actual`, `predicted` and `reviews`, a row for each cell."""
    matrix = metrics.confusion_matrix(
        predictions["actual"], predictions["predicted"], labels=CLASSES
    )
    cells = pd.MultiIndex.from_product([CLASSES, CLASSES], names=["actual", "predicted"])
    return pd.DataFrame({"reviews": matrix.ravel()}, cells).reset_index()


def roc_curve(predictions: pd.DataFrame, points: int) -> pd.DataFrame:
    """The ROC curve.

    Args:
        predictions: the table of predictions.
        points: of the curve's corners, which may be thousands, keep at most as many, evenly
            spaced along the curve, both ends among them.

    Returns:
        Columns `false_positive_rate` and `true_positive_rate`.
    """
    false_positive, true_positive, _ = metrics.roc_curve(
        predictions["actual"], predictions["probability"], pos_label=POSITIVE
    )
    curve = pd.DataFrame(
        {"false_positive_rate": false_positive, "true_positive_rate": true_positive}
    )
    if len(curve) <= points:
        return curve
    along = curve.sum(axis="columns")  # rises from 0 to 2: each corner is further right or up
    kept = np.unique(np.searchsorted(along, np.linspace(0, 2, points)))
    return curve.iloc[kept].reset_index(drop=True)


def accuracy_by_length(predictions: pd.DataFrame, bounds: list[int]) -> pd.DataFrame:
    """Accuracy within groups of review length.

    Args:
        predictions: the table of predictions.
        bounds: rising upper bounds of the groups; what is longer makes one more group.

    Returns:
        Columns `words` (such as `101-200`), `reviews` and `accuracy`; groups without reviews
        are left out.
    """
    groups = length_groups(predictions["words"], bounds)
    right = predictions["actual"] == predictions["predicted"]
    table = right.groupby(groups, observed=True).agg(reviews="count", accuracy="mean")
    return table.reset_index()


def length_groups(words: pd.Series, bounds: list[int]) -> pd.Series:
    """The group of each length: a categorical series with such values as `101-200`."""
    names = [f"{low + 1}-{high}" for low, high in pairwise([0, *bounds])] + [f"over {bounds[-1]}"]
    groups: pd.Series = pd.cut(words, [0, *bounds, np.inf], labels=names)
    return groups


def reliability(predictions: pd.DataFrame, bins: int) -> pd.DataFrame:
    """How often reviews are positive that are given about the same probability of being so.

    Args:
        predictions: the table of predictions.
        bins: number of groups, of equal width, from 0 to 1.

    Returns:
        Columns `predicted` (mean probability), `observed` (share of positive reviews) and
        `reviews`; a row for each group that has any.
    """
    edges = np.linspace(0, 1, bins + 1)
    groups = np.clip(np.digitize(predictions["probability"], edges[1:-1], right=True), 0, bins - 1)
    positive = (predictions["actual"] == POSITIVE).to_numpy()
    table = pd.DataFrame({"predicted": predictions["probability"], "observed": positive})
    grouped = table.groupby(groups)
    return grouped.mean().assign(reviews=grouped.size()).reset_index(drop=True)


def calibration_error(groups: pd.DataFrame) -> float:
    """Expected calibration error: the mean distance of `predicted` from `observed`, by review.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, for a binary classifier.
    """
    distance = (groups["predicted"] - groups["observed"]).abs()
    return float(np.average(distance, weights=groups["reviews"]))


def mistakes(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """The `count` wrong predictions whose probability is the furthest from the truth."""
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    error = (wrong["probability"] - (wrong["actual"] == POSITIVE)).abs()
    return wrong.loc[error.sort_values(ascending=False, kind="stable").index[:count]]


def summary(
    predictions: pd.DataFrame,
    confusion: pd.DataFrame,
    lengths: pd.DataFrame,
    groups: pd.DataFrame,
) -> dict[str, Any]:
    """All metrics of the test set: scores, calibration, counts of reviews, accuracy by length."""
    true_negatives, false_positives, false_negatives, true_positives = confusion["reviews"].tolist()
    return {
        **scores(predictions),
        "test_ece": calibration_error(groups),
        "test_reviews": len(predictions),
        "test_reviews_seen": int(predictions["seen_in_training"].sum()),
        "test_true_positives": true_positives,
        "test_false_positives": false_positives,
        "test_true_negatives": true_negatives,
        "test_false_negatives": false_negatives,
        "test_accuracy_by_length": dict(zip(lengths["words"], lengths["accuracy"], strict=True)),
    }
