"""The model card: the description of a run and its version in MLflow, as Markdown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workflow.files import EvaluateInputs
from workflow.promotion import SMALL_TEST_SET
from workflow.provenance import model_name

if TYPE_CHECKING:
    import pandas as pd

SPACED_COLUMNS = " &emsp;| "  # MLflow leaves no space between the cells of a table
MAX_LABELS = 10  # whose shares are listed
READ_ENDS = {"pre": "the last", "post": "the first"}  # the tokens that truncating keeps


def describe_evaluation(inputs: EvaluateInputs, predictions: "pd.DataFrame") -> str:
    """Return the description of a run and its version, which begins with the accuracy.

    The decision about a version may change, so it is in the alias and the tags alone.

    Args:
        inputs: what the evaluation depends on.
        predictions: see `sentiment.evaluation.metrics`.
    """
    from sentiment.evaluation.metrics import CONFIDENCE, METRICS  # imports scikit-learn

    accuracy = METRICS["accuracy"].compute(predictions)
    rows = []
    for metric in METRICS.values():
        interval = metric.interval(predictions, CONFIDENCE)
        shown = f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
        rows.append((metric.label, f"{metric.compute(predictions):.4f}", shown))
    return "\n\n".join(
        [
            f"{accuracy:.4f} · {model_name(inputs.train)}",
            _table(["test metric", "value", f"{CONFIDENCE:.0%} confidence interval"], rows),
            "\n".join(f"- {limit}" for limit in _limits(inputs, predictions)),
        ]
    )


def _limits(inputs: EvaluateInputs, predictions: "pd.DataFrame") -> list[str]:
    """Return what a user of the version should know."""
    shares = predictions["actual"].value_counts(normalize=True)
    shares = shares.reindex(inputs.labels[:MAX_LABELS], fill_value=0.0)
    shown = ", ".join(f"{share:.0%} `{label}`" for label, share in shares.items())
    truncating = READ_ENDS[inputs.pad.truncating]
    limits = [
        f"Evaluated on {len(predictions):,} texts of `{inputs.fetch.name}`: {shown}. Other kinds "
        "of text were not tried.",
        f"Only {truncating} {inputs.pad.max_length:,} tokens of a text are read.",
        "Versions are compared on this test set, so a champion's accuracy is slightly optimistic.",
    ]
    if inputs.fetch.dataset == "synthetic":
        limits.insert(0, "All texts are generated. The metrics say nothing about real texts.")
    if len(predictions) < SMALL_TEST_SET:
        limits.append(f"With fewer than {SMALL_TEST_SET} test texts, the metrics are uncertain.")
    return limits


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {SPACED_COLUMNS.join(line)} |" for line in (header, *rows)]
    lines.insert(1, f"| {' | '.join(['---'] * len(header))} |")
    return "\n".join(lines)
