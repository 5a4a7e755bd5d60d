"""Write a comparison as text."""

from collections.abc import Iterable, Sequence

from extras.compare.comparison import Comparison, MetricSummary
from sentiment.evaluation.metrics import metrics_for

Row = Sequence[str]
COSTS = {  # label and format
    "training_seconds": ("seconds of training", ".1f"),
    "parameters": ("parameters", ",.0f"),
    "milliseconds_per_review": ("ms per review", ".3f"),
}


def format_groups(comparison: Comparison) -> list[str]:
    """Return a line about A and a line about B."""
    return [
        f"{letter} = {group.label}: {group.name}, run {group.run_id}"
        + (f", {len(group.runs)} trainings" if len(group.runs) > 1 else "")
        for letter, group in (("A", comparison.a), ("B", comparison.b))
    ]


def param_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each param that differs."""
    return [[change["param"], change["a"], change["b"]] for change in comparison.changes]


def metric_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each metric, and for each cost."""
    a = comparison.a
    b = comparison.b
    level = comparison.confidence
    metrics = [
        (metric.label, format_metric(a.metrics[name], level), format_metric(b.metrics[name], level))
        for name, metric in metrics_for("comparison").items()
    ]
    costs = [
        (label, f"{a.cost[name]:{form}}", f"{b.cost[name]:{form}}")
        for name, (label, form) in COSTS.items()
    ]
    return [*metrics, *costs]


def format_metric(summary: MetricSummary, confidence: float) -> str:
    """Write a metric of a group, with its interval or its standard deviation."""
    if summary.standard_deviation is not None:
        deviation = f"standard deviation {summary.standard_deviation:.4f}"
        bounds = f"range {summary.low:.4f} to {summary.high:.4f}"
        return f"mean {summary.mean:.4f} ({deviation}, {bounds})"
    if summary.interval is None:
        return f"{summary.mean:.4f}"
    low, high = summary.interval
    return f"{summary.mean:.4f} ({100 * confidence:g}% interval {low:.4f} to {high:.4f})"


def format_comparison(comparison: Comparison) -> str:
    """Write what the command prints: the outcome, the params that differ, the metrics."""
    changes = param_rows(comparison)
    parts = [
        "\n".join(f"- {as_one_line(text)}" for text in format_groups(comparison)),
        f"**{comparison.sentence}**",
        comparison.caveat,
        format_table(["param", "A", "B"], changes) if changes else "No param differs.",
        format_table(["", "A", "B"], metric_rows(comparison)),
    ]
    return "\n\n".join(parts)


def format_table(titles: Row, rows: Iterable[Row]) -> str:
    """Write a table in Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(as_one_line(text) for text in line)} |" for line in lines)


def as_one_line(text: str) -> str:
    """Return a text as one line."""
    return " ".join(text.split())
