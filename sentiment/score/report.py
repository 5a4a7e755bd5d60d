"""The report about texts: compute, describe and log it."""

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sentiment.evaluation.metrics import CONFIDENCE, METRICS, Metric
from sentiment.evaluation.results import Results, evaluate_predictions
from sentiment.project.documents import write_table
from sentiment.score.drift import MIN_TEXTS, Quantities, measure_drift, summarize
from sentiment.tracking.promotion import format_p_value

UNSEEN = "accuracy_unseen"  # left out: it is not known which texts the version was trained on


class Report(NamedTuple):
    """The drift and, with labels, the metrics of a source.

    Attributes:
        rows: number of its rows.
        texts: the compared quantities of its texts. A row may be without a text.
        drift: see `sentiment.score.drift.measure_drift`.
        metrics: see `compare_metrics`. None: there are no labels.
        results: metrics, plots and the worst mistakes. None: there are no labels.
    """

    rows: int
    texts: Quantities
    drift: pd.DataFrame
    metrics: pd.DataFrame | None
    results: Results | None

    @property
    def alarms(self) -> list[str]:
        """The means that raise an alarm."""
        return [str(name) for name in self.drift.index[self.drift["alarm"]]]


def make_report(
    tables: Iterable[pd.DataFrame], rows: int, has_labels: bool, test_set: pd.DataFrame
) -> Report:
    """Compare predictions with those for a test set.

    Args:
        tables: the predictions, one table after the other, see `sentiment.evaluation.metrics`.
            Without labels, each is dropped before the next one is read.
        rows: number of the rows of the source.
        has_labels: whether `actual` has labels, by which the predictions are evaluated.
        test_set: the predictions for the test set.
    """
    metrics = None
    results = None
    if has_labels:
        predictions = pd.concat(tables, ignore_index=True)
        metrics = compare_metrics(predictions, test_set)
        results = evaluate(predictions)
        tables = [predictions]
    texts = summarize(tables, rows)
    return Report(rows, texts, measure_drift(texts, test_set), metrics, results)


def compare_metrics(predictions: pd.DataFrame, test_set: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each metric, as texts: its name, and its values with intervals."""
    metrics = [metric for name, metric in METRICS.items() if name != UNSEEN]
    interval = f"{CONFIDENCE:.0%} interval"
    return pd.DataFrame(
        {
            "metric": [metric.title for metric in metrics],
            "test set": [f"{metric.compute(test_set):.4f}" for metric in metrics],
            interval: [format_interval(metric, test_set) for metric in metrics],
            "here": [f"{metric.compute(predictions):.4f}" for metric in metrics],
            f"{interval} ": [format_interval(metric, predictions) for metric in metrics],
        }
    )


def format_interval(metric: Metric, predictions: pd.DataFrame) -> str:
    """Return the confidence interval of a metric, or "" if it has none."""
    interval = metric.interval(predictions)
    return f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""


def evaluate(predictions: pd.DataFrame) -> Results:
    """Compute the metrics, the plots and the worst mistakes, which have the column `row`."""
    metrics, tables, plots = evaluate_predictions(predictions)
    del metrics[f"test_{UNSEEN}"]
    mistakes = tables["mistakes"].drop(columns="seen_in_training").rename(columns={"review": "row"})
    return Results(metrics, {"mistakes": mistakes}, plots)


def describe(report: Report) -> str:
    """Return the tables and what follows from them, for a terminal."""
    shown = report.drift.assign(
        p=report.drift["p"].map(format_p_value).str.removeprefix("= "),
        alarm=report.drift["alarm"].map({True: "yes", False: ""}),
    )
    lines = [shown.to_string(float_format="{:.4g}".format)]
    blank = report.rows - report.texts.text_count
    if blank:
        lines.append(f"{blank:,} rows have no text, and so no prediction.")
    if report.alarms:
        lines.append(f"Alarm: {', '.join(report.alarms)}.")
    elif report.texts.text_count < MIN_TEXTS:
        lines.append(f"Fewer than {MIN_TEXTS} texts raise no alarm.")
    else:
        lines.append("No alarm.")
    if report.metrics is not None:
        lines.append(report.metrics.to_string(index=False))
    return "\n".join(lines)


def log_report(report: Report) -> None:
    """Log metrics, tables and plots to the active run."""
    import mlflow

    means: dict[str, float] = {}
    for number, (name, mean) in enumerate(report.texts.means.items()):
        logged = re.sub(r"[^a-zA-Z0-9_]", "_", str(name))
        means[f"{logged}_{number}" if logged in means else logged] = mean
    counts = {"rows": report.rows, "texts": report.texts.text_count, "alarms": len(report.alarms)}
    mlflow.log_metrics(counts | means)
    mlflow.log_text(report.drift.to_csv(index_label="mean"), "drift.csv")
    if report.results is None:
        return
    mlflow.log_metrics(report.results.metrics)
    for name, plot in report.results.plots.items():
        mlflow.log_figure(plot, f"{name}.png")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mistakes.csv"
        path.touch(mode=0o600)  # a local store copies the permissions, too
        write_table(path, report.results.tables["mistakes"])
        mlflow.log_artifact(str(path))
