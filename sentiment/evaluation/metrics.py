"""Compute metrics and curves from a table of predictions.

A table of predictions has a row for each text, and these columns: `row` (its number in its file,
see `sentiment.data.encoded.EncodedDataset`), perhaps `id`, `text_id` (a digest of its text),
`actual` and `predicted` (labels), `probability_<label>` for each label in the order of their
indices, `words` and `unknown_words` (their numbers), and `seen_in_training` (whether the same text
occurs in training).

The second of two labels is the positive one. Precision, recall, F1, the areas under curves and the
calibration are those of the positive label. With more labels, none is positive. Then they are means
over all labels that occur, each against the rest (macro averages), and the calibration is that of
the predicted label. Formulas without another source are scikit-learn's.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import sklearn.metrics
from numpy.typing import NDArray

from sentiment.evaluation.intervals import (
    CONFIDENCE,
    Interval,
    balanced_accuracy_by_kind,
    count_kinds,
    f1_by_kind,
    percentile_interval,
    resample,
    wilson_interval,
)
from sentiment.text.labels import label_names_in, probability_column

DECIMALS = 6  # of a metric; more would only be noise in tables
MAX_ROC_POINTS = 200  # git keeps the table of the curve; with more points, it looks the same
CALIBRATION_BINS = 10  # groups of equal width by probability
MAX_ROC_LABELS = 10  # more curves could not be told apart
LENGTH_GROUPS = 4  # groups by length, each with about as many texts
NO_ROC_CURVES = pd.DataFrame(columns=["false_positive_rate", "true_positive_rate", "label"])


class Metric(NamedTuple):
    """A metric of predictions.

    Attributes:
        title: its name in reports.
        compute: returns its value for a table of predictions, or NaN if it is not defined.
        interval: returns its confidence interval, at the level `CONFIDENCE`, or None if there is
            none.
    """

    title: str
    compute: Callable[[pd.DataFrame], float]
    interval: Callable[[pd.DataFrame], Interval | None] = lambda _: None


def positive_label(predictions: pd.DataFrame) -> str | None:
    """Return the positive label, or None if there are more than two labels."""
    labels = label_names_in(predictions.columns)
    return labels[1] if len(labels) == 2 else None


def averaged_labels(predictions: pd.DataFrame) -> list[str]:
    """Return the labels whose metrics are averaged: the positive one, or all that occur."""
    positive = positive_label(predictions)
    if positive is not None:
        return [positive]
    occurring = set(predictions["actual"])
    return [label for label in label_names_in(predictions.columns) if label in occurring]


def probability_matrix(predictions: pd.DataFrame) -> NDArray[np.floating]:
    """Return the probability of each label, shape (texts, labels)."""
    labels = label_names_in(predictions.columns)
    return predictions[[probability_column(label) for label in labels]].to_numpy()


def label_indices(predictions: pd.DataFrame, column: str) -> NDArray[np.intp]:
    """Return the indices of the labels in `actual` or `predicted`, shape (texts,)."""
    labels = label_names_in(predictions.columns)
    return pd.Index(labels).get_indexer(pd.Index(predictions[column]))


def probability_of(predictions: pd.DataFrame, column: str) -> NDArray[np.floating]:
    """Return the probability of the label in `actual` or `predicted`, shape (texts,)."""
    indices = label_indices(predictions, column)
    return probability_matrix(predictions)[np.arange(len(predictions)), indices]


def count_correct(predictions: pd.DataFrame) -> tuple[int, int]:
    """Return the number of right predictions, and of all."""
    return int((predictions["actual"] == predictions["predicted"]).sum()), len(predictions)


def accuracy(predictions: pd.DataFrame, if_empty: float) -> float:
    """Return the share of right predictions, or `if_empty` if there are none at all."""
    correct, texts = count_correct(predictions)
    return correct / texts if texts else if_empty


def precision(predictions: pd.DataFrame, label: str) -> float:
    """Return the precision of a label, or 0 if it is never predicted."""
    return accuracy(predictions[predictions["predicted"] == label], if_empty=0.0)


def recall(predictions: pd.DataFrame, label: str) -> float:
    """Return the recall of a label, or 0 if it does not occur."""
    return accuracy(predictions[predictions["actual"] == label], if_empty=0.0)


def f1(predictions: pd.DataFrame, label: str) -> float:
    """Return the F1 of a label, or 0 if it is neither predicted nor occurs."""
    return float(
        sklearn.metrics.f1_score(
            predictions["actual"] == label, predictions["predicted"] == label, zero_division=0.0
        )
    )


def roc_auc(predictions: pd.DataFrame, label: str) -> float:
    """Return the area under the ROC curve of a label."""
    return float(
        sklearn.metrics.roc_auc_score(
            predictions["actual"] == label, predictions[probability_column(label)]
        )
    )


def average_precision(predictions: pd.DataFrame, label: str) -> float:
    """Return the area under the precision-recall curve of a label."""
    return float(
        sklearn.metrics.average_precision_score(
            predictions["actual"] == label, predictions[probability_column(label)]
        )
    )


def averaged(function: Callable[[pd.DataFrame, str], float]) -> Callable[[pd.DataFrame], float]:
    """Return a function that computes the metric of the positive label, or its macro average."""
    return lambda predictions: float(
        np.mean([function(predictions, label) for label in averaged_labels(predictions)])
    )


def correct_of_positive(
    column: str,
) -> Callable[[pd.DataFrame], tuple[int, int] | None]:
    """Return a function that counts the right predictions among those with the positive label.

    Args:
        column: where the label is, `actual` or `predicted`.
    """

    def proportion(predictions: pd.DataFrame) -> tuple[int, int] | None:
        positive = positive_label(predictions)
        if positive is None:
            return None
        return count_correct(predictions[predictions[column] == positive])

    return proportion


def balanced_accuracy(predictions: pd.DataFrame) -> float:
    """Return the mean recall of all labels that occur."""
    occurring = predictions["actual"].unique()
    return float(np.mean([recall(predictions, label) for label in occurring]))


def log_loss(predictions: pd.DataFrame) -> float:
    """Return the mean negative logarithm of the actual label's probability."""
    matrix = probability_matrix(predictions)
    actual = label_indices(predictions, "actual")
    return float(sklearn.metrics.log_loss(actual, matrix, labels=range(matrix.shape[1])))


def brier_score(predictions: pd.DataFrame) -> float:
    """Return the mean squared error of the probabilities.

    With two labels, it is of the positive one. Otherwise, the errors of all labels are summed.
    """
    matrix = probability_matrix(predictions)
    actual = label_indices(predictions, "actual")
    return float(sklearn.metrics.brier_score_loss(actual, matrix, labels=range(matrix.shape[1])))


def unseen(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions for texts that do not occur in training."""
    return predictions[~predictions["seen_in_training"]]


def interval_of(
    proportion: Callable[[pd.DataFrame], tuple[int, int] | None],
) -> Callable[[pd.DataFrame], Interval | None]:
    """Return a function that computes the interval of a proportion.

    Args:
        proportion: returns the numbers of successes and trials, or None if the metric of these
            predictions is a mean of proportions.
    """

    def interval(predictions: pd.DataFrame) -> Interval | None:
        counts = proportion(predictions)
        return wilson_interval(*counts, CONFIDENCE) if counts and counts[1] else None

    return interval


def f1_interval(predictions: pd.DataFrame) -> Interval | None:
    """Return the interval of F1, or of macro F1, by a bootstrap over texts."""
    kinds, counts = count_kinds(predictions[["actual", "predicted"]])
    labels = averaged_labels(predictions)
    values = resample(counts, f1_by_kind(kinds["actual"], kinds["predicted"], labels))
    return percentile_interval(values, CONFIDENCE)


def balanced_accuracy_interval(predictions: pd.DataFrame) -> Interval | None:
    """Return the interval of the balanced accuracy by a bootstrap over texts."""
    kinds, counts = count_kinds(predictions[["actual", "predicted"]])
    values = resample(counts, balanced_accuracy_by_kind(kinds["actual"], kinds["predicted"]))
    return percentile_interval(values, CONFIDENCE)


def confusion_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the number of `texts` for each combination of `actual` and `predicted`."""
    labels = label_names_in(predictions.columns)
    matrix = sklearn.metrics.confusion_matrix(
        predictions["actual"], predictions["predicted"], labels=labels
    )
    cells = pd.MultiIndex.from_product([labels, labels], names=["actual", "predicted"])
    return pd.DataFrame({"texts": matrix.ravel()}, cells).reset_index()


def label_metrics(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each label: `label`, `precision`, `recall`, `f1` and `texts`."""
    labels = label_names_in(predictions.columns)
    counts = predictions["actual"].value_counts()
    return pd.DataFrame(
        {
            "label": labels,
            "precision": [precision(predictions, label) for label in labels],
            "recall": [recall(predictions, label) for label in labels],
            "f1": [f1(predictions, label) for label in labels],
            "texts": counts.reindex(labels, fill_value=0).to_numpy(),
        }
    )


def roc_curves(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the ROC curve of each averaged label, or no row if they are too many.

    Returns:
        Columns `false_positive_rate` and `true_positive_rate` and, without a positive label,
        `label`.
    """
    labels = averaged_labels(predictions)
    if len(labels) > MAX_ROC_LABELS:
        return NO_ROC_CURVES
    if positive_label(predictions) is not None:
        return roc_curve(predictions, labels[0])
    curves = [
        roc_curve(predictions, label, MAX_ROC_POINTS // len(labels)).assign(label=label)
        for label in labels
    ]
    return pd.concat(curves, ignore_index=True)


def roc_curve(
    predictions: pd.DataFrame, label: str, max_points: int = MAX_ROC_POINTS
) -> pd.DataFrame:
    """Return the ROC curve of a label: columns `false_positive_rate` and `true_positive_rate`.

    The curve may have thousands of corners. At most `max_points` of them are kept, evenly spaced
    along the curve, including both ends.
    """
    false_positive, true_positive, _ = sklearn.metrics.roc_curve(
        predictions["actual"] == label, predictions[probability_column(label)]
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
    """Return the accuracy of groups of texts by length, whose bounds are quantiles.

    Returns:
        Columns `words` (such as `101-200`), `texts` (their number) and `accuracy`, with a row for
        each group. There are fewer groups than `LENGTH_GROUPS` if many texts are equally long.
    """
    words = predictions["words"]
    shares = np.linspace(0, 1, LENGTH_GROUPS + 1)[1:]
    bounds = np.unique(np.quantile(words, shares, method="inverted_cdf"))
    lows = [words.min(), *(bounds[:-1] + 1)]
    names = [
        f"{low}-{high}" if low < high else f"{high}" for low, high in zip(lows, bounds, strict=True)
    ]
    groups = pd.cut(words, [-1, *bounds], labels=names)
    is_correct = predictions["actual"] == predictions["predicted"]
    table = is_correct.groupby(groups, observed=True).agg(texts="count", accuracy="mean")
    return table.reset_index()


def reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare the probabilities of a label with the share of texts that have it.

    The label is the positive one or, without one, the predicted one.

    Returns:
        Columns `predicted` (mean probability), `observed` (share of the texts) and `texts`
        (their number), with a row for each group by probability that has texts.
    """
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    positive = positive_label(predictions)
    if positive is not None:
        probability = predictions[probability_column(positive)].to_numpy()
        observed = predictions["actual"] == positive
    else:
        probability = probability_of(predictions, "predicted")
        observed = predictions["actual"] == predictions["predicted"]
    groups = np.digitize(probability, edges[1:-1], right=True)
    table = pd.DataFrame({"predicted": probability, "observed": observed})
    grouped = table.groupby(groups)
    return grouped.mean().assign(texts=grouped.size()).reset_index(drop=True)


def calibration_error(predictions: pd.DataFrame) -> float:
    """Return the expected calibration error: the mean difference, by text, in `reliability`.

    Source: Guo et al. 2017, *On Calibration of Modern Neural Networks*.
    """
    groups = reliability(predictions)
    difference = (groups["predicted"] - groups["observed"]).abs()
    return float(np.average(difference, weights=groups["texts"]))


def mistakes(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the `count` wrong predictions with the lowest probability of the actual label."""
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    error = pd.Series(1 - probability_of(wrong, "actual"), wrong.index)
    return wrong.loc[error.sort_values(ascending=False, kind="stable").index[:count]]


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        "accuracy",
        lambda predictions: accuracy(predictions, if_empty=0.0),
        interval_of(count_correct),
    ),
    "balanced_accuracy": Metric("balanced accuracy", balanced_accuracy, balanced_accuracy_interval),
    "loss": Metric("loss", log_loss),
    "precision": Metric(
        "precision", averaged(precision), interval_of(correct_of_positive("predicted"))
    ),
    "recall": Metric("recall", averaged(recall), interval_of(correct_of_positive("actual"))),
    "f1": Metric("F1", averaged(f1), f1_interval),
    "roc_auc": Metric("ROC AUC", averaged(roc_auc)),
    "average_precision": Metric("average precision", averaged(average_precision)),
    "brier": Metric("Brier score", brier_score),
    "ece": Metric("calibration error", calibration_error),
    "accuracy_unseen": Metric(
        "accuracy on unseen texts",
        lambda predictions: accuracy(unseen(predictions), if_empty=math.nan),
        interval_of(lambda predictions: count_correct(unseen(predictions))),
    ),
}


def compute_metrics(predictions: pd.DataFrame) -> dict[str, float]:
    """Return all metrics that are defined, with the prefix `test_`, rounded to `DECIMALS`."""
    values = {name: metric.compute(predictions) for name, metric in METRICS.items()}
    return {
        f"test_{name}": round(value, DECIMALS)
        for name, value in values.items()
        if not math.isnan(value)
    }
