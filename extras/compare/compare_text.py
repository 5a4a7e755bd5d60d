"""A comparison as text."""

from collections.abc import Iterable, Sequence

from extras.compare.comparison import Comparison, Spread
from sentiment.evaluation.metrics import metrics_for
from workflow.terminal import replace_control_characters

Row = Sequence[str]
COSTS = {  # how they are called and written
    "training_seconds": ("seconds of training", ".1f"),
    "parameters": ("parameters", ",.0f"),
    "milliseconds_per_review": ("ms per review", ".3f"),
}


def compared(comparison: Comparison) -> list[str]:
    """What A and B are."""
    return [
        f"{letter} = {group.label}: {group.name}, run {group.run_id}"
        + (f", {len(group.runs)} trainings" if len(group.runs) > 1 else "")
        for letter, group in (("A", comparison.a), ("B", comparison.b))
    ]


def changed(comparison: Comparison) -> list[Row]:
    """A row for each param that differs."""
    return [[*change.values()] for change in comparison.changes]


def metrics(comparison: Comparison) -> list[Row]:
    """The metrics of the headline of both groups, and what they cost."""
    a, b, level = comparison.a, comparison.b, comparison.confidence
    measured = [
        (metric.label, spread(a.metrics[name], level), spread(b.metrics[name], level))
        for name, metric in metrics_for("headline").items()
    ]
    costs = [
        (label, f"{a.cost[name]:{form}}", f"{b.cost[name]:{form}}")
        for name, (label, form) in COSTS.items()
    ]
    return [*measured, *costs]


def spread(values: Spread, confidence: float) -> str:
    """A metric of a group, with its interval if it has one, or with its spread over seeds."""
    if values.deviation is not None:
        deviation = f"standard deviation {values.deviation:.4f}"
        return f"mean {values.mean:.4f} ({deviation}, range {values.low:.4f} to {values.high:.4f})"
    if values.interval is None:
        return f"{values.mean:.4f}"
    low, high = values.interval
    return f"{values.mean:.4f} ({100 * confidence:g} % interval {low:.4f} to {high:.4f})"


def summary(comparison: Comparison) -> str:
    """What is printed: the outcome, what changed, the main metrics."""
    rows = changed(comparison)
    parts = [
        "\n".join(f"- {line(text)}" for text in compared(comparison)),
        f"**{comparison.sentence}**",
        "\n".join(comparison.caveats),
        table(["param", "A", "B"], rows) if rows else "No param differs.",
        table(["", "A", "B"], metrics(comparison)),
    ]
    return "\n\n".join(parts)


def table(titles: Row, rows: Iterable[Row]) -> str:
    """A table with its columns between bars."""
    texts = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line(text) for text in row)} |" for row in texts)


def line(text: str) -> str:
    """A text in one line, without control characters."""
    return " ".join(replace_control_characters(text).split())
