"""A comparison as text and as a JSON document."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple
from itertools import groupby
from typing import Any, NamedTuple

from extras.compare.comparison import ABSENT, Change, Comparison, Spread, Summary
from extras.compare.verdict import Difference, p_text, points, span
from sentiment.scoring.metrics import shown_in
from workflow.ending import escape

LISTED = 5  # params of a section that only one group has, which are named one by one
UNADJUSTED = (
    "Each p is for its group alone: with several groups, one below the level now and then is "
    "to be expected."
)


class Row(NamedTuple):
    """A value of both groups."""

    name: str
    a: str
    b: str


def compared(comparison: Comparison) -> list[str]:
    """What A and B are."""
    pairs = zip("AB", (comparison.a, comparison.b), strict=True)
    return [f"{letter} = {described(summary)}" for letter, summary in pairs]


def described(group: Summary) -> str:
    """A run or a group by its label, name and run."""
    count = f", {len(group.runs)} trainings" if len(group.runs) > 1 else ""
    return f"{group.label}: {group.name}, run {group.run_id}{count}"


def signed(comparison: Comparison) -> str:
    """The sentence with what A and B are, fit to stand alone in a tag."""
    return f"{comparison.sentence} {'; '.join(compared(comparison))}"


def changed(comparison: Comparison) -> list[Row]:
    """The params that differ; many of a section that only one group has, as one row."""
    rows = []
    for (section, on_a, on_b), alike in groupby(comparison.changes, _where):
        section_rows = [Row(*astuple(change)) for change in alike]
        if on_a != on_b and len(section_rows) > LISTED:
            count = f"{len(section_rows)} params"
            values = (count if on_a else ABSENT, count if on_b else ABSENT)
            section_rows = [Row(f"{section}.*", *values)]
        rows += section_rows
    return rows


def _where(change: Change) -> tuple[str, bool, bool]:
    """The section of a param, and which groups have it."""
    return change.param.partition(".")[0], change.a != ABSENT, change.b != ABSENT


def metrics(comparison: Comparison) -> list[Row]:
    """The metrics of the headline of both groups, and what they cost."""
    a, b, level = comparison.a, comparison.b, comparison.confidence
    costs = [a.cost, b.cost]
    return [
        *(
            Row(metric.label, spread(a.metrics[name], level), spread(b.metrics[name], level))
            for name, metric in shown_in("headline").items()
        ),
        Row("seconds of training", *(f"{cost['training_seconds']:.1f}" for cost in costs)),
        Row("seconds per epoch, median", *(f"{cost['epoch_seconds']:.2f}" for cost in costs)),
        Row("parameters", *(f"{cost['parameters']:,.0f}" for cost in costs)),
        Row("ms per review", *(f"{cost['milliseconds_per_review']:.3f}" for cost in costs)),
    ]


def spread(values: Spread, confidence: float) -> str:
    """A metric of a group, with its interval if it has one, or with its spread over seeds."""
    if values.deviation is not None:
        deviation = f"standard deviation {values.deviation:.4f}"
        return f"mean {values.mean:.4f} ({deviation}, range {values.low:.4f} to {values.high:.4f})"
    if values.interval is None:
        return f"{values.mean:.4f}"
    low, high = values.interval
    return f"{values.mean:.4f} ({100 * confidence:g} % interval {low:.4f} to {high:.4f})"


def in_words(result: Difference, confidence: float) -> str:
    """A difference with its interval, in points."""
    return f"{points(result.difference)} ({span(result.interval, confidence)})"


def group_rows(comparison: Comparison) -> list[list[str]]:
    """A row for each group of reviews: name, reviews, both accuracies, difference, p."""
    return [
        [
            f"{group.name} words" if group.kind == "words" else group.name,
            f"{group.reviews:,}",
            f"{group.result.a:.4f}",
            f"{group.result.b:.4f}",
            in_words(group.result, comparison.confidence),
            p_text(group.result.p),
        ]
        for group in comparison.groups
    ]


GROUP_TITLES = ["reviews", "number", "A", "B", "B − A, points", "p"]


def summary(comparison: Comparison) -> str:
    """What is printed: the outcome, what changed, the main metrics."""
    rows = changed(comparison)
    return "\n".join(
        [
            *(f"- {line(text)}" for text in compared(comparison)),
            "",
            f"**{comparison.sentence}**",
            "",
            *comparison.caveats,
            "",
            *(table(["param", "A", "B"], rows) if rows else ["No param differs."]),
            "",
            *table(["", "A", "B"], metrics(comparison)),
        ]
    )


def counted(comparison: Comparison) -> list[str]:
    """How many reviews only one group gets right, of single trainings."""
    if comparison.discordant is None:
        return []
    a, b = comparison.discordant
    return [f"Of {comparison.reviews:,} reviews, only A gets {a:,} right, only B {b:,}."]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table with its columns between bars."""
    texts = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(line(text) for text in row)} |" for row in texts]


def line(text: str) -> str:
    """A text in one line, without control characters."""
    return " ".join(escape(text).split())


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON takes it; curves as lists of rows."""
    as_rows = {
        name: {
            letter: [table.to_dict("records") for table in group_tables]
            for letter, group_tables in zip("ab", getattr(comparison, name), strict=True)
        }
        for name in ("reliability", "curves", "gradients")
    }
    content: Mapping[str, Any] = asdict(comparison)
    return {**content, **as_rows}
