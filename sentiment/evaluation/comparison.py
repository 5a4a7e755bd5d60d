"""Compare the predictions of two models, A and B, for the same texts.

B's test set defines the labels: its column `actual` is used for both models, and its columns of
probabilities name the labels. From A's table, only `predicted`, `text_id` and the names of its
labels are used.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.evaluation.metrics import CONFIDENCE, METRICS, Interval, averaged_labels
from sentiment.text.labels import label_names_in

MetricName = Literal["accuracy", "f1"]
Values = NDArray[np.floating]
# Of 20 models that are as good as another one, none seems better in about nine of ten cases.
STRICT_CONFIDENCE = 0.99
RESAMPLES = 9_999
RESAMPLING_SEED = 0
BATCH_VALUES = 2**21  # texts, or kinds of texts, of the resamples that are in memory at once: 50 MB
# Verdicts about B
BETTER = "Better"
WORSE = "Worse"
NOT_SHOWN = "Not shown to be better"


class Difference(NamedTuple):
    """The difference of a metric between two models.

    Attributes:
        a: value of the metric for A. `b` likewise.
        texts: number of texts that are compared.
        interval: confidence interval of B minus A, at the level `CONFIDENCE`. None: all resamples
            of the texts have the same difference.
        strict_interval: the same at the level `STRICT_CONFIDENCE`.
    """

    metric: MetricName
    a: float
    b: float
    texts: int
    interval: Interval | None
    strict_interval: Interval | None


def select_common_texts(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of both tables whose texts are in both, in the same order.

    A text that is there twice is matched twice, in the order of the tables.
    """
    numbered = [table.assign(occurrence=table.groupby("text_id").cumcount()) for table in (a, b)]
    keys = [table.set_index(["text_id", "occurrence"]).index for table in numbered]
    common = keys[1].intersection(keys[0], sort=False)
    rows_a, rows_b = (
        table.iloc[key.get_indexer(common)].reset_index(drop=True)
        for table, key in zip((a, b), keys, strict=True)
    )
    return rows_a, rows_b


def unknown_labels(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """Return the labels of A that B does not have."""
    known = label_names_in(b.columns)
    return [label for label in label_names_in(a.columns) if label not in known]


def compare_predictions(a: pd.DataFrame, b: pd.DataFrame, metric: MetricName) -> Difference:
    """Compare two models by a paired bootstrap over texts, with percentile intervals.

    The same tables give the same intervals. The texts are taken as independent of each other.

    Source: Efron and Tibshirani 1993, *An Introduction to the Bootstrap*.

    Args:
        a: A's predictions for at least one text.
        b: B's predictions for the same texts, in the same order.
        metric: "f1" is the F1 of the positive label, or macro F1 with more than two labels.
    """
    texts = pd.DataFrame(
        {"actual": b["actual"].array, "a": a["predicted"].array, "b": b["predicted"].array}
    )
    # Texts of one kind have the same labels. Metrics follow from the number of texts of each kind.
    kinds = texts.drop_duplicates(ignore_index=True)
    kind_of_text = texts.groupby([*texts], sort=False).ngroup().to_numpy().astype(np.intp)
    metric_of_a, metric_of_b = (
        accuracy_by_kind(kinds["actual"], kinds[model])
        if metric == "accuracy"
        else f1_by_kind(kinds["actual"], kinds[model], averaged_labels(b))
        for model in ("a", "b")
    )
    intervals = bootstrap_intervals(
        kind_of_text, len(kinds), lambda counts: metric_of_b(counts) - metric_of_a(counts)
    )
    counts = count_kinds(kind_of_text, len(kinds))
    values = (float(metric_of_a(counts)), float(metric_of_b(counts)))
    return Difference(metric, *values, len(texts), *intervals)


def metric_interval(predictions: pd.DataFrame, metric: str) -> Interval | None:
    """Return the confidence interval of F1 or balanced accuracy by a bootstrap over texts.

    Args:
        predictions: see `sentiment.evaluation.metrics`.

    Returns:
        None: it is another metric, or the same in all resamples.
    """
    texts = predictions[["actual", "predicted"]]
    kinds = texts.drop_duplicates(ignore_index=True)
    if metric == "f1":
        value = f1_by_kind(kinds["actual"], kinds["predicted"], averaged_labels(predictions))
    elif metric == "balanced_accuracy":
        value = balanced_accuracy_by_kind(kinds["actual"], kinds["predicted"])
    else:
        return None
    kind_of_text = texts.groupby([*texts], sort=False).ngroup().to_numpy().astype(np.intp)
    return bootstrap_intervals(kind_of_text, len(kinds), value)[0]


def bootstrap_intervals(
    kind_of_text: NDArray[np.intp], kinds: int, difference: Callable[[Values], Values]
) -> tuple[Interval, Interval] | tuple[None, None]:
    """Return the intervals of a difference at both levels, or None if no resample changes it.

    Args:
        kind_of_text: shape (texts,).
        kinds: number of kinds.
        difference: returns the difference for numbers of texts of each kind, shape (..., kinds).
    """
    from scipy.stats import bootstrap

    if len(kind_of_text) < 2:  # SciPy refuses it
        return None, None

    def statistic(sample: NDArray[np.intp], axis: int) -> Values:  # noqa: ARG001 (the last one)
        return difference(count_kinds(sample, kinds))

    resample = partial(
        bootstrap, (kind_of_text,), statistic, vectorized=True, paired=True, method="percentile"
    )
    result = resample(
        n_resamples=RESAMPLES,
        batch=max(1, BATCH_VALUES // len(kind_of_text)),
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(RESAMPLING_SEED),
    )
    strict = resample(n_resamples=0, bootstrap_result=result, confidence_level=STRICT_CONFIDENCE)
    if not np.ptp(result.bootstrap_distribution):
        return None, None
    return Interval(*result.confidence_interval), Interval(*strict.confidence_interval)


def count_kinds(sample: NDArray[np.intp], kinds: int) -> Values:
    """Return how many texts of each kind a sample has.

    Args:
        sample: the kind of each text, shape (..., texts).
        kinds: number of kinds.

    Returns:
        Shape (..., kinds), float64, which matrix products need to be fast.
    """
    rows = sample.reshape(-1, sample.shape[-1])
    first_kinds = kinds * np.arange(len(rows))[:, np.newaxis]
    counts = np.bincount((rows + first_kinds).ravel(), minlength=len(rows) * kinds)
    return counts.reshape(*sample.shape[:-1], kinds).astype(np.float64)


def accuracy_by_kind(actual: pd.Series, predicted: pd.Series) -> Callable[[Values], Values]:
    """Return a function that computes the accuracy from the number of texts of each kind.

    Args:
        actual: the label of each kind, shape (kinds,). `predicted` likewise.
    """
    is_hit = (actual == predicted).to_numpy(np.float64)
    return lambda counts: np.asarray(counts @ is_hit / counts.sum(axis=-1))


def f1_by_kind(
    actual: pd.Series, predicted: pd.Series, labels: list[str]
) -> Callable[[Values], Values]:
    """Return a function that computes the mean F1 from the number of texts of each kind.

    Args:
        actual: the label of each kind, shape (kinds,). `predicted` likewise.
        labels: those whose F1 is averaged. It is 0 for a label that is neither predicted nor
            actual, as in scikit-learn with `zero_division=0`.
    """
    names = np.array(labels, object)
    is_actual = actual.to_numpy(object)[:, np.newaxis] == names
    is_predicted = predicted.to_numpy(object)[:, np.newaxis] == names
    is_hit = (is_actual & is_predicted).astype(np.float64)
    occurrences = is_actual.astype(np.float64) + is_predicted
    return lambda counts: np.asarray(
        (2 * (counts @ is_hit) / np.maximum(counts @ occurrences, 1)).mean(axis=-1)
    )


def balanced_accuracy_by_kind(
    actual: pd.Series, predicted: pd.Series
) -> Callable[[Values], Values]:
    """Return a function that computes the mean recall of all labels that occur.

    Args:
        actual: the label of each kind, shape (kinds,). `predicted` likewise.
    """
    names = np.array(sorted(set(actual)), object)
    is_actual = (actual.to_numpy(object)[:, np.newaxis] == names).astype(np.float64)
    is_hit = is_actual * (actual == predicted).to_numpy()[:, np.newaxis]
    return lambda counts: np.asarray(
        ((counts @ is_hit) / np.maximum(counts @ is_actual, 1)).mean(axis=-1)
    )


def find_verdict(interval: Interval | None) -> str:
    """Return whether B is `BETTER`, `WORSE`, or neither is shown, by an interval of B minus A."""
    if interval is not None and interval.low > 0:
        return BETTER
    if interval is not None and interval.high < 0:
        return WORSE
    return NOT_SHOWN


def describe_difference(difference: Difference) -> str:
    """Return B minus A in points, with its interval."""
    title = METRICS[difference.metric].title
    value = f"{show_points(difference.b - difference.a)} points of {title}"
    if difference.interval is None:
        return f"{value}, without an interval: all resamples of the texts give the same difference"
    return f"{value}, {CONFIDENCE:.0%} interval {show_interval(difference.interval)}"


def describe_verdict(difference: Difference) -> str:
    """Return the verdict about B by the strict interval."""
    verdict = find_verdict(difference.strict_interval)
    if difference.strict_interval is None:
        return f"{verdict}."
    place = {BETTER: "lies above 0", WORSE: "lies below 0", NOT_SHOWN: "contains 0"}[verdict]
    return (
        f"{verdict}: the {STRICT_CONFIDENCE:.0%} interval, "
        f"{show_interval(difference.strict_interval)}, {place}."
    )


def show_interval(interval: Interval) -> str:
    """Return an interval in points, such as "+6.43 to +7.39"."""
    return f"{show_points(interval.low)} to {show_points(interval.high)}"


def show_points(share: float) -> str:
    """Return a difference in percentage points with its sign. A zero has the sign +."""
    return f"{round(100 * share, 2) + 0.0:+.2f}"
