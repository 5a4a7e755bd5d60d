"""The metrics of predictions for labeled texts, and their difference to those of another model."""

import pandas as pd

from sentiment.evaluation.comparison import (
    MetricName,
    compare_predictions,
    describe_difference,
)
from sentiment.evaluation.intervals import CONFIDENCE, Interval
from sentiment.evaluation.metrics import METRICS, label_metrics

UNSEEN = "accuracy_unseen"  # left out: it is not known which texts the model was trained on
COMPARED: tuple[MetricName, ...] = ("accuracy", "f1")


def describe_metrics(predictions: pd.DataFrame) -> str:
    """Return each metric with its interval, and the metrics of each label.

    Args:
        predictions: see `sentiment.evaluation.metrics`.
    """
    shown = {name: metric for name, metric in METRICS.items() if name != UNSEEN}
    table = pd.DataFrame(
        {
            "metric": [metric.title for metric in shown.values()],
            "value": [f"{metric.compute(predictions):.4f}" for metric in shown.values()],
            f"{CONFIDENCE:.0%} interval": [
                describe_interval(metric.interval(predictions)) for metric in shown.values()
            ],
        }
    )
    labels = label_metrics(predictions).to_string(index=False, float_format="{:.4f}".format)
    return f"{table.to_string(index=False)}\n{labels}"


def describe_interval(interval: Interval | None) -> str:
    """Return an interval as text, or "" if there is none."""
    return f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""


def describe_against(title: str, against: pd.DataFrame, predictions: pd.DataFrame) -> str:
    """Return the differences between predictions and those of another model for the same texts.

    Args:
        title: the other model.
        against: its predictions.
    """
    lines = [f"Compared with {title}:"]
    for metric in COMPARED:
        compared = compare_predictions(against, predictions, metric)
        values = f"{METRICS[metric].title} {compared.b:.4f}, there {compared.a:.4f}"
        lines.append(f"{values}: {describe_difference(compared)}")
    return "\n".join(lines)
