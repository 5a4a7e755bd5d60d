"""The metrics of predictions for labeled texts: compute, describe and log them."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from sentiment.evaluation.metrics import CONFIDENCE, METRICS, Metric
from sentiment.evaluation.results import Results, evaluate_predictions
from sentiment.project.documents import write_table

if TYPE_CHECKING:
    from mlflow import MlflowClient

UNSEEN = "accuracy_unseen"  # left out: it is not known which texts the version was trained on


class Report(NamedTuple):
    """What is known of the rows of a source.

    Attributes:
        rows: number of its rows. `texts` is the number of those that have a text.
        metrics: see `metrics_table`. None: there are no labels.
        results: metrics, plots, the metrics by label and the worst mistakes. None: no labels.
    """

    rows: int
    texts: int
    metrics: pd.DataFrame | None = None
    results: Results | None = None


def make_report(tables: Iterable[pd.DataFrame], rows: int, has_labels: bool) -> Report:
    """Count predictions and, with labels, evaluate them.

    Args:
        tables: the predictions, one table after the other, see `sentiment.evaluation.metrics`.
            Without labels, each is dropped before the next one is read.
        rows: number of the rows of the source.
        has_labels: whether `actual` has labels.
    """
    if not has_labels:
        return Report(rows, sum(len(table) for table in tables))
    predictions = pd.concat(tables, ignore_index=True)
    return Report(rows, len(predictions), metrics_table(predictions), evaluate_rows(predictions))


def metrics_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each metric, as texts: its name, and its value with its interval."""
    metrics = [metric for name, metric in METRICS.items() if name != UNSEEN]
    return pd.DataFrame(
        {
            "metric": [metric.title for metric in metrics],
            "value": [f"{metric.compute(predictions):.4f}" for metric in metrics],
            f"{CONFIDENCE:.0%} interval": [
                format_interval(metric, predictions) for metric in metrics
            ],
        }
    )


def format_interval(metric: Metric, predictions: pd.DataFrame) -> str:
    """Return the confidence interval of a metric, or "" if it has none."""
    interval = metric.interval(predictions)
    return f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""


def evaluate_rows(predictions: pd.DataFrame) -> Results:
    """Compute the metrics, also by label, the plots, and the worst mistakes by their rows."""
    metrics, tables, plots = evaluate_predictions(predictions)
    del metrics[f"test_{UNSEEN}"]
    mistakes = tables["mistakes"].drop(columns="seen_in_training")
    mistakes["id"] = mistakes["id"].fillna("")
    return Results(metrics, {"labels": tables["labels"], "mistakes": mistakes}, plots)


def describe(report: Report) -> str:
    """Return the number of rows and, with labels, the metrics, for a terminal."""
    lines = [f"{report.rows:,} rows"]
    if report.texts < report.rows:
        lines.append(f"{report.rows - report.texts:,} rows have no text, and so no prediction.")
    if report.metrics is not None and report.results is not None:
        labels = report.results.tables["labels"]
        lines.append(report.metrics.to_string(index=False))
        lines.append(labels.to_string(index=False, float_format="{:.4f}".format))
    return "\n".join(lines)


def log_report(client: "MlflowClient", run_id: str, report: Report) -> None:
    """Log metrics, plots, the metrics by label and the worst mistakes to a run."""
    metrics = report.results.metrics if report.results else {}
    for name, value in {"rows": report.rows, "texts": report.texts, **metrics}.items():
        client.log_metric(run_id, name, value)
    if report.results is None:
        return
    for name, plot in report.results.plots.items():
        client.log_figure(run_id, plot, f"{name}.png")
    with tempfile.TemporaryDirectory() as folder:
        for name, table in report.results.tables.items():
            path = Path(folder) / f"{name}.csv"
            path.touch(mode=0o600)  # a local store copies the permissions, too
            write_table(path, table)
            client.log_artifact(run_id, str(path))
