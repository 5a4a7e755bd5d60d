"""How good the predictions are: pure functions from a table of predictions to metrics and curves.

A table of predictions has a row for each test review: `review` (its position in the test part of
`data/fetch`), `actual` and `predicted` (`negative` or `positive`), `probability` (of being
positive), `words` (its length) and `seen_in_training` (whether the same review occurs there).
Formulas without another source are scikit-learn's.
"""

import math
from collections.abc import Callable, Set
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

NEGATIVE, POSITIVE = CLASSES = ["negative", "positive"]

Report = Literal["test", "headline", "groups", "demo", "file"]
ALL_REPORTS: Set[Report] = {"test", "headline", "groups", "demo", "file"}


class Predictions(NamedTuple):
    table: pd.DataFrame
    bins: int  # groups of probability in the calibration error


class Metric(NamedTuple):
    """A metric, wherever it is computed or shown.

    Attributes:
        label: what readers call it.
        of: computes it from predictions; NaN where it is not defined.
        shown: where it is: `test` is `metrics.json`, and so DVC, MLflow's run and the version's
            tags, from which `groups` (of seeds), `demo` and the headline of the report have it;
            `headline` is that of a comparison, too; `file` is `make evaluate`.
        share: of a metric that is a share, how many of how many.
        note: what the report says of it, where that is not its interval.
    """

    label: str
    compute: Callable[[Predictions], float]
    reports: Set[Report]
    proportion: Callable[[Predictions], tuple[int, int]] | None = None
    note: str = ""


def sklearn_metric(
    column: str, score: Callable[..., float], **options: Any
) -> Callable[[Predictions], float]:
    """A function of scikit-learn, applied to the actual classes and a column of the table."""
    return lambda p: float(score(p.table["actual"], p.table[column], **options))


def accuracy_among(
    label: str,
    choose: Callable[[pd.DataFrame], pd.DataFrame],
    reports: Set[Report],
    if_empty: float = 0.0,
) -> Metric:
    """The share of right answers to the reviews that are chosen; `if_empty` if there are none."""

    def share(predictions: Predictions) -> tuple[int, int]:
        table = choose(predictions.table)
        return int((table["actual"] == table["predicted"]).sum()), len(table)

    def of(predictions: Predictions) -> float:
        right, reviews = share(predictions)
        return right / reviews if reviews else if_empty

    return Metric(label, of, reports, share)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy_among("accuracy", lambda table: table, ALL_REPORTS),
    "balanced_accuracy": Metric(
        "balanced accuracy",
        sklearn_metric("predicted", metrics.balanced_accuracy_score),
        {"test", "file"},
    ),
    "loss": Metric(
        "loss",
        sklearn_metric("probability", metrics.log_loss, labels=CLASSES),
        ALL_REPORTS - {"demo"},
        note="cross-entropy, in nats",
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
        sklearn_metric("predicted", metrics.f1_score, pos_label=POSITIVE, zero_division=0.0),
        {"test", "groups", "file"},
    ),
    "roc_auc": Metric(
        "ROC AUC",
        sklearn_metric("probability", metrics.roc_auc_score),
        ALL_REPORTS,
        note="0.5 is guessing",
    ),
    "average_precision": Metric(  # area under the curve of precision by recall
        "average precision",
        sklearn_metric("probability", metrics.average_precision_score, pos_label=POSITIVE),
        {"test", "file"},
    ),
    "brier": Metric(
        "Brier score",
        sklearn_metric("probability", metrics.brier_score_loss, pos_label=POSITIVE),
        ALL_REPORTS - {"demo"},
        note="squared error of the probability",
    ),
    "accuracy_unseen": accuracy_among(
        "accuracy on unseen reviews",
        lambda table: table[~table["seen_in_training"]],
        {"test"},
        if_empty=math.nan,  # left out of `metrics.json`
    ),
    "ece": Metric(
        "calibration error",
        lambda predictions: calibration_error(*predictions),
        ALL_REPORTS,
        note="expected (ECE), {bins} groups",
    ),
}


def metrics_for(place: Report) -> dict[str, Metric]:
    """The metrics that are shown there, by name and in the order of `METRICS`."""
    return {name: metric for name, metric in METRICS.items() if place in metric.reports}


def class_names(positive: NDArray[Any]) -> NDArray[np.str_]:
    """The class of each true (positive) or false (negative) value."""
    return np.where(positive.astype(bool), POSITIVE, NEGATIVE)


def confusion_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Counts of reviews: columns `actual`, `predicted` and `reviews`, a row for each cell."""
    matrix = metrics.confusion_matrix(
        predictions["actual"], predictions["predicted"], labels=CLASSES
    )
    cells = pd.MultiIndex.from_product([CLASSES, CLASSES], names=["actual", "predicted"])
    return pd.DataFrame({"reviews": matrix.ravel()}, cells).reset_index()


def roc_curve(predictions: pd.DataFrame, points: int) -> pd.DataFrame:
    """The ROC curve: columns `false_positive_rate` and `true_positive_rate`.

    Of its corners, which may be thousands, at most as many as `points` are kept, evenly spaced
    along the curve, both ends among them.
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
    """Columns `words` (such as `101-200`), `reviews` and `accuracy` of groups with reviews."""
    groups = length_groups(predictions["words"], bounds)
    right = predictions["actual"] == predictions["predicted"]
    table = right.groupby(groups, observed=True).agg(reviews="count", accuracy="mean")
    return table.reset_index()


def length_groups(words: pd.Series, bounds: list[int]) -> pd.Series:
    """The group of each length, by rising upper bounds: a categorical series of names."""
    names = [f"{low + 1}-{high}" for low, high in pairwise([0, *bounds])] + [f"over {bounds[-1]}"]
    groups: pd.Series = pd.cut(words, [-1, *bounds, np.inf], labels=names)  # 0: no known word
    return groups


def reliability(predictions: pd.DataFrame, bins: int) -> pd.DataFrame:
    """How often reviews are positive that are given about the same probability of being so.

    Columns are `predicted` (mean probability), `observed` (share of positive reviews) and
    `reviews`; there is a row for each of the `bins` of equal width, from 0 to 1, that has any.
    """
    edges = np.linspace(0, 1, bins + 1)
    groups = np.clip(np.digitize(predictions["probability"], edges[1:-1], right=True), 0, bins - 1)
    positive = (predictions["actual"] == POSITIVE).to_numpy()
    table = pd.DataFrame({"predicted": predictions["probability"], "observed": positive})
    grouped = table.groupby(groups)
    return grouped.mean().assign(reviews=grouped.size()).reset_index(drop=True)


def calibration_error(predictions: pd.DataFrame, bins: int) -> float:
    """Expected calibration error: the mean distance, by review, of what `reliability` compares.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, for a binary classifier.
    """
    groups = reliability(predictions, bins)
    distance = (groups["predicted"] - groups["observed"]).abs()
    return float(np.average(distance, weights=groups["reviews"]))


def mistakes(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """The `count` wrong predictions whose probability is the furthest from the truth."""
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    error = (wrong["probability"] - (wrong["actual"] == POSITIVE)).abs()
    return wrong.loc[error.sort_values(ascending=False, kind="stable").index[:count]]


def test_metrics(
    predictions: Predictions, confusion: pd.DataFrame, lengths: pd.DataFrame
) -> dict[str, Any]:
    """All that is in `metrics.json` of the answers, by their tables of the same names."""
    true_negatives, false_positives, false_negatives, true_positives = confusion["reviews"].tolist()
    measured = {name: metric.compute(predictions) for name, metric in metrics_for("test").items()}
    return {
        **{f"test_{name}": value for name, value in measured.items() if not math.isnan(value)},
        "test_reviews": len(predictions.table),
        "test_reviews_seen": int(predictions.table["seen_in_training"].sum()),
        "test_true_positives": true_positives,
        "test_false_positives": false_positives,
        "test_true_negatives": true_negatives,
        "test_false_negatives": false_negatives,
        "test_accuracy_by_length": dict(zip(lengths["words"], lengths["accuracy"], strict=True)),
    }
