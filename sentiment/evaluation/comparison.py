"""Compare the predictions of two models, A and B, for the same texts.

B's test set defines the labels: its column `actual` is used for both models, and its columns of
probabilities name the labels. From A's table, only `predicted`, `text_id` and the names of its
labels are used.
"""

from typing import Literal, NamedTuple

import pandas as pd

from sentiment.evaluation.intervals import (
    CONFIDENCE,
    Interval,
    accuracy_by_kind,
    count_kinds,
    f1_by_kind,
    percentile_interval,
    resample,
)
from sentiment.evaluation.metrics import METRICS, averaged_labels
from sentiment.text.labels import label_names_in

MetricName = Literal["accuracy", "f1"]
# Of 20 models that are as good as another one, none seems better in about nine of ten cases.
STRICT_CONFIDENCE = 0.99
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

    Args:
        a: A's predictions for at least one text.
        b: B's predictions for the same texts, in the same order.
        metric: "f1" is the F1 of the positive label, or macro F1 with more than two labels.
    """
    texts = pd.DataFrame(
        {"actual": b["actual"].array, "a": a["predicted"].array, "b": b["predicted"].array}
    )
    kinds, counts = count_kinds(texts)
    metric_of_a, metric_of_b = (
        accuracy_by_kind(kinds["actual"], kinds[model])
        if metric == "accuracy"
        else f1_by_kind(kinds["actual"], kinds[model], averaged_labels(b))
        for model in ("a", "b")
    )
    differences = resample(counts, lambda sample: metric_of_b(sample) - metric_of_a(sample))
    return Difference(
        metric,
        a=float(metric_of_a(counts)),
        b=float(metric_of_b(counts)),
        texts=len(texts),
        interval=percentile_interval(differences, CONFIDENCE),
        strict_interval=percentile_interval(differences, STRICT_CONFIDENCE),
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
    value = f"{format_points(difference.b - difference.a)} points of {title}"
    if difference.interval is None:
        return f"{value}, without an interval: all resamples of the texts give the same difference"
    return f"{value}, {CONFIDENCE:.0%} interval {format_interval(difference.interval)}"


def describe_verdict(difference: Difference) -> str:
    """Return the verdict about B by the strict interval."""
    verdict = find_verdict(difference.strict_interval)
    if difference.strict_interval is None:
        return f"{verdict}."
    place = {BETTER: "lies above 0", WORSE: "lies below 0", NOT_SHOWN: "contains 0"}[verdict]
    return (
        f"{verdict}: the {STRICT_CONFIDENCE:.0%} interval, "
        f"{format_interval(difference.strict_interval)}, {place}."
    )


def format_interval(interval: Interval) -> str:
    """Return an interval in points, such as "+6.43 to +7.39"."""
    return f"{format_points(interval.low)} to {format_points(interval.high)}"


def format_points(share: float) -> str:
    """Return a difference in percentage points with its sign. A zero has the sign +."""
    return f"{round(100 * share, 2) + 0.0:+.2f}"
