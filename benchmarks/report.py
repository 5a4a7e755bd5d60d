"""What was measured, compared with the goals: a CSV of every sample and a table in Markdown."""

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

Series = Mapping[str, Sequence[float]]  # what was measured → its samples


class Goal(NamedTuple):
    """A bound on the median of a series, or on the ratio of two medians.

    Attributes:
        what: what the table calls it.
        series: what is bounded, or the ratio's numerator.
        over: the ratio's denominator, if it is one.
        at_least: whether the bound is a lower or an upper one.
        bound: the bound.
        unit: unit of the bound; a ratio has none.
    """

    what: str
    series: str
    over: str | None
    at_least: bool
    bound: float
    unit: str = ""


def value(goal: Goal, series: Series) -> float:
    """The median, or the ratio of medians, that a goal is about."""
    above = statistics.median(series[goal.series])
    return above / statistics.median(series[goal.over]) if goal.over else above


def is_met(goal: Goal, series: Series) -> bool:
    """Whether the goal is reached."""
    reached = value(goal, series)
    return reached >= goal.bound if goal.at_least else reached <= goal.bound


def spread(samples: Sequence[float]) -> str:
    """Median, least, greatest and number of samples."""
    middle = statistics.median(samples)
    return f"{middle:.4g} ({min(samples):.4g} to {max(samples):.4g}, n = {len(samples)})"


def goals_table(goals: Sequence[Goal], series: Series) -> str:
    """A table of the goals: bound, measured value, whether it is met, and from what."""
    rows = ["| what | goal | measured | met | medians (least to greatest) |", "|" + " --- |" * 5]
    for goal in goals:
        sign, unit = ("≥" if goal.at_least else "≤"), f" {goal.unit}" if goal.unit else ""
        parts = [spread(series[name]) for name in (goal.series, goal.over) if name]
        met = "yes" if is_met(goal, series) else "**no**"
        measured = f"{value(goal, series):.3g}{unit}"
        rows.append(
            f"| {goal.what} | {sign} {goal.bound:g}{unit} | {measured} | {met} "
            f"| {' / '.join(parts)} |"
        )
    return "\n".join(rows)


def series_table(series: Series) -> str:
    """A table of every series."""
    rows = ["| series | median (least to greatest) |", "| --- | --- |"]
    return "\n".join([*rows, *(f"| {name} | {spread(series[name])} |" for name in series)])


def write_csv(path: Path, series: Series) -> None:
    """Write every sample: series, number of the sample, value."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["series", "sample", "value"])
        for name, samples in series.items():
            writer.writerows([name, number, sample] for number, sample in enumerate(samples, 1))
