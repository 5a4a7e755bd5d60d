"""The model card: how good a model is and what its limits are, as Markdown.

It is the description of a run in MLflow, and of the version that is made of the run.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from sentiment.evaluation.baseline import Baseline
from sentiment.evaluation.comparison import compare_predictions, describe_difference
from sentiment.evaluation.intervals import CONFIDENCE
from sentiment.evaluation.metrics import METRICS
from sentiment.text.model_files import ModelConfig

SMALL_TEST_SET = 500  # texts; with fewer, the card says so
SPACED_COLUMNS = " &emsp;| "  # MLflow leaves no space between the cells of a table
MAX_LISTED_LABELS = 10
SYNTHETIC = "synthetic"  # the name of the dataset of generated texts
READ_ENDS = {"pre": "the last", "post": "the first"}  # the tokens that truncating keeps


def describe_evaluation(
    config: ModelConfig,
    predictions: pd.DataFrame,
    metrics: Mapping[str, float],
    label_metrics: pd.DataFrame,
    baseline: Baseline,
) -> str:
    """Return the card of a model.

    Args:
        predictions: the predictions for the test set, see `sentiment.evaluation.metrics`.
        metrics: their metrics by name, such as `test_accuracy`.
        label_metrics: see `sentiment.evaluation.metrics.label_metrics`.
        baseline: the one that the model is compared with.
    """
    label_rows = [
        (
            code_span(str(row.label)),
            f"{row.precision:.4f}",
            f"{row.recall:.4f}",
            f"{row.f1:.4f}",
            f"{row.texts:,}",
        )
        for row in label_metrics.head(MAX_LISTED_LABELS).itertuples()
    ]
    rows = _metric_rows(predictions, metrics)
    return "\n\n".join(
        [
            f"Test accuracy {metrics['test_accuracy']:.4f} on `{config.dataset}`",
            _describe_baseline(predictions, baseline),
            _table(["test metric", "value", f"{CONFIDENCE:.0%} confidence interval"], rows),
            _table(["label", "precision", "recall", "F1", "texts"], label_rows),
            "\n".join(f"- {limit}" for limit in _limits(config, len(predictions))) + "\n",
        ]
    )


def _metric_rows(
    predictions: pd.DataFrame, metrics: Mapping[str, float]
) -> list[tuple[str, str, str]]:
    """Return title, value and confidence interval of each metric that is defined."""
    rows = []
    for name, metric in METRICS.items():
        if f"test_{name}" not in metrics:
            continue
        interval = metric.interval(predictions)
        shown = f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
        rows.append((metric.title, f"{metrics[f'test_{name}']:.4f}", shown))
    return rows


def _describe_baseline(predictions: pd.DataFrame, baseline: Baseline) -> str:
    """Return the difference between a model and a baseline."""
    compared = compare_predictions(baseline.predictions, predictions, "accuracy")
    return (
        f"Compared with {baseline.title}, whose accuracy is {compared.a:.4f}: "
        f"{describe_difference(compared)}"
    )


def _limits(config: ModelConfig, texts: int) -> list[str]:
    """Return what a user of the model should know.

    Args:
        texts: number of the test texts.
    """
    label_count = len(config.label_names)
    limits = []
    if config.dataset == SYNTHETIC:
        limits.append("All texts are generated. The metrics say nothing about real texts.")
    if label_count > MAX_LISTED_LABELS:
        limits.append(
            f"The table by label has the first {MAX_LISTED_LABELS} of {label_count} labels; the "
            "artifact `labels.csv` has all."
        )
    if label_count > 2:
        limits.append(
            "Precision, recall, F1, ROC AUC and average precision are means over the labels (macro "
            "averages)."
        )
    limits += [
        f"Evaluated on {texts:,} texts of `{config.dataset}`. Other kinds of text were not tried.",
        f"Only {READ_ENDS[config.layout.truncating]} {config.layout.max_length:,} tokens of a text "
        "are read.",
        "Versions are compared on this test set, so a champion's accuracy is slightly optimistic.",
    ]
    if texts < SMALL_TEST_SET:
        limits.append(f"With fewer than {SMALL_TEST_SET} test texts, the metrics are uncertain.")
    return limits


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {SPACED_COLUMNS.join(line)} |" for line in (header, *rows)]
    lines.insert(1, f"| {' | '.join(['---'] * len(header))} |")
    return "\n".join(lines)


def code_span(text: str) -> str:
    """Return a text as code in a table of Markdown, without what would end the code or the cell."""
    return f"`{text.replace('`', chr(39))}`".replace("|", "\\|")
