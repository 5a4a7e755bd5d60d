"""The model card: the description of a run and its version in MLflow, as Markdown."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracking.promotion import SMALL_TEST_SET
from workflow.files import EvaluateInputs
from workflow.provenance import training_name

if TYPE_CHECKING:
    import pandas as pd

SPACED_COLUMNS = " &emsp;| "  # MLflow leaves no space between the cells of a table
MAX_LISTED_LABELS = 10
READ_ENDS = {"pre": "the last", "post": "the first"}  # the tokens that truncating keeps


def describe_evaluation(inputs: EvaluateInputs, predictions: "pd.DataFrame") -> str:
    """Return the description of a run and its version, which begins with the accuracy.

    The decision about a version may change, so it is in the alias and the tags alone.

    Args:
        inputs: what the evaluation depends on.
        predictions: see `sentiment.evaluation.metrics`.
    """
    from sentiment.evaluation.metrics import (  # imports scikit-learn
        CONFIDENCE,
        METRICS,
        label_metrics,
    )

    accuracy = METRICS["accuracy"].compute(predictions)
    name = training_name(inputs.fetch, inputs.pad, inputs.train)
    rows = []
    for metric in METRICS.values():
        value = metric.compute(predictions)
        if math.isnan(value):
            continue
        interval = metric.interval(predictions, CONFIDENCE)
        shown = f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
        rows.append((metric.title, f"{value:.4f}", shown))
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
            f"{accuracy:.4f} · {name}",
            _table(["test metric", "value", f"{CONFIDENCE:.0%} confidence interval"], rows),
            _table(["label", "precision", "recall", "F1", "texts"], label_rows),
            "\n".join(f"- {limit}" for limit in _limits(inputs, predictions)),
        ]
    )


def describe_data(run_id: str) -> str:
    """Return how to get the data of a run, whose `dvc.lock` is an artifact."""
    return (
        "The data, in a clone of the project: "
        f"`mlflow artifacts download --run-id {run_id} --artifact-path dvc.lock --dst-path . && "
        "dvc pull data/fetch data/pad data/train`"
    )


def _limits(inputs: EvaluateInputs, predictions: "pd.DataFrame") -> list[str]:
    """Return what a user of the version should know."""
    truncating = READ_ENDS[inputs.pad.truncating]
    limits = [
        f"Evaluated on {len(predictions):,} texts of `{inputs.fetch.dataset_name}`. Other kinds of "
        "text were not tried.",
        f"Only {truncating} {inputs.pad.max_length:,} tokens of a text are read.",
        "Versions are compared on this test set, so a champion's accuracy is slightly optimistic.",
    ]
    if len(inputs.labels) > 2:
        limits.insert(
            0,
            "Precision, recall, F1, ROC AUC and average precision are means over the labels (macro "
            "averages).",
        )
    if len(inputs.labels) > MAX_LISTED_LABELS:
        limits.insert(
            0,
            f"The table by label has the first {MAX_LISTED_LABELS} of {len(inputs.labels)} labels; "
            "the artifact `labels.csv` has all.",
        )
    if inputs.fetch.dataset == "synthetic":
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
