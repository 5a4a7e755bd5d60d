"""The model card: the description of a run and its version in MLflow, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sentiment.project.manifest import EvaluateManifest
from sentiment.tracking.promotion import SMALL_TEST_SET

if TYPE_CHECKING:
    import pandas as pd

SPACED_COLUMNS = " &emsp;| "  # MLflow leaves no space between the cells of a table
MAX_LISTED_LABELS = 10
READ_ENDS = {"pre": "the last", "post": "the first"}  # the tokens that truncating keeps


def describe_evaluation(
    manifest: EvaluateManifest, predictions: "pd.DataFrame", metrics: Mapping[str, float], name: str
) -> str:
    """Return the description of a run and its version, which begins with the accuracy.

    The decision about a version may change, so it is in the alias and the tags alone.

    Args:
        manifest: what the evaluation depends on.
        predictions: see `sentiment.evaluation.metrics`.
        metrics: their metrics, by name.
        name: the name of the training.
    """
    from sentiment.evaluation.metrics import CONFIDENCE, label_metrics

    rows = _metric_rows(predictions, metrics)
    by_label = label_metrics(predictions).head(MAX_LISTED_LABELS)
    label_rows = [
        (
            code_span(str(row.label)),
            f"{row.precision:.4f}",
            f"{row.recall:.4f}",
            f"{row.f1:.4f}",
            f"{row.reviews:,}",
        )
        for row in by_label.itertuples()
    ]
    return "\n\n".join(
        [
            f"{metrics['test_accuracy']:.4f} · {name}",
            _table(["test metric", "value", f"{CONFIDENCE:.0%} confidence interval"], rows),
            _table(["label", "precision", "recall", "F1", "texts"], label_rows),
            "\n".join(f"- {limit}" for limit in _limits(manifest, predictions)),
        ]
    )


def _metric_rows(
    predictions: "pd.DataFrame", metrics: Mapping[str, float]
) -> list[tuple[str, str, str]]:
    """Return title, value and confidence interval of each metric that is defined."""
    from sentiment.evaluation.metrics import METRICS  # imports scikit-learn

    rows = []
    for name, metric in METRICS.items():
        if f"test_{name}" not in metrics:
            continue
        interval = metric.interval(predictions)
        shown = f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
        rows.append((metric.title, f"{metrics[f'test_{name}']:.4f}", shown))
    return rows


def describe_data(run_id: str) -> str:
    """Return how to get the data of a run, whose `dvc.lock` is an artifact."""
    return (
        "The data, in a new clone of the project: "
        f"`mlflow artifacts download --run-id {run_id} --artifact-path dvc.lock --dst-path . && "
        "dvc pull data/fetch data/pad data/train`"
    )


def _limits(manifest: EvaluateManifest, predictions: "pd.DataFrame") -> list[str]:
    """Return what a user of the version should know."""
    truncating = READ_ENDS[manifest.pad.truncating]
    limits = [
        f"Evaluated on {len(predictions):,} texts of `{manifest.fetch.dataset_name}`. Other kinds "
        "of text were not tried.",
        f"Only {truncating} {manifest.pad.max_length:,} tokens of a text are read.",
        "Versions are compared on this test set, so a champion's accuracy is slightly optimistic.",
    ]
    if len(manifest.label_names) > 2:
        limits.insert(
            0,
            "Precision, recall, F1, ROC AUC and average precision are means over the labels (macro "
            "averages).",
        )
    label_count = len(manifest.label_names)
    if label_count > MAX_LISTED_LABELS:
        limits.insert(
            0,
            f"The table by label has the first {MAX_LISTED_LABELS} of {label_count} labels; the "
            "artifact `labels.csv` has all.",
        )
    if manifest.fetch.dataset == "synthetic":
        limits.insert(0, "All texts are generated. The metrics say nothing about real texts.")
    if len(predictions) < SMALL_TEST_SET:
        limits.append(f"With fewer than {SMALL_TEST_SET} test texts, the metrics are uncertain.")
    return limits


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {SPACED_COLUMNS.join(line)} |" for line in (header, *rows)]
    lines.insert(1, f"| {' | '.join(['---'] * len(header))} |")
    return "\n".join(lines)


def code_span(text: str) -> str:
    """Return a text as code in a table of Markdown, without what would end the code or the cell."""
    return f"`{text.replace('`', chr(39))}`".replace("|", "\\|")
