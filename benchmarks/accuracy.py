"""`python -m benchmarks.accuracy`: what models reach on the test set, and what they take.

Each SIDE is named as in `make compare`: the id of a run or of a group of seeds, say. A group gets a
row for its mean. Writes `accuracy.md` beside this file.
"""

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from extras.common.significance import CONFIDENCE, Interval, interval, mean_interval
from sentiment.errors import UserError
from sentiment.gradients import reach
from sentiment.scoring.metrics import METRICS, Predictions
from tools.comparing import sides
from tools.comparing.comparison import cost
from tools.comparing.trainings import Side
from workflow import cli, files
from workflow.files import TEST_DATA
from workflow.params import load_params

RESULTS = Path(__file__).with_name("accuracy.md")


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        name: of the model.
        accuracy: of the test set, the mean of several trainings.
        interval: of that mean, or Wilson's of a single model.
        deviation: standard deviation between trainings; None of a single model.
        ece: expected calibration error, the mean.
        reach: how far back the gradient reaches, words, the mean; None without gradients.
        minutes: of training, all that it takes.
        parameters: numbers that were learned.
        milliseconds: of an answer.
    """

    name: str
    accuracy: float
    interval: Interval
    deviation: float | None
    ece: float
    reach: float | None
    minutes: float
    parameters: float
    milliseconds: float


def row(side: Side, bins: int, confidence: float) -> Row:
    """The row of a side as it is: a single training, or the mean of several."""
    accuracy, error = METRICS["accuracy"], METRICS["ece"]
    tables = [Predictions(known.predictions, bins) for known in side.trainings]
    right = np.array([accuracy.of(table) for table in tables])
    reached = [reach(known.gradients) for known in side.trainings if known.gradients is not None]
    taken = cost(side)
    own = interval(accuracy, tables[0], confidence) if side.single else None
    return Row(
        side.name,
        float(right.mean()),
        own or mean_interval(right, confidence),
        None if side.single else float(right.std(ddof=1)),
        float(np.mean([error.of(table) for table in tables])),
        float(np.mean(reached)) if reached else None,
        taken["training_seconds"] / 60,
        taken["parameters"],
        taken["milliseconds_per_review"],
    )


def table(found: Sequence[Row]) -> str:
    """The table, as Markdown."""
    columns = ("model", "test accuracy", "interval", "SD", "ECE", "gradient reach", "minutes")
    lines = [f"| {' | '.join([*columns, 'parameters', 'ms a review'])} |", "|" + " --- |" * 9]
    for each in found:
        low, high = each.interval
        deviation = "" if each.deviation is None else f"{each.deviation:.4f}"
        reached = "" if each.reach is None else f"{each.reach:.0f}"
        lines.append(
            f"| {each.name} | {each.accuracy:.4f} | {low:.4f} to {high:.4f} | {deviation} "
            f"| {each.ece:.3f} | {reached} | {each.minutes:.1f} | {each.parameters:,.0f} "
            f"| {each.milliseconds:.2f} |"
        )
    return "\n".join(lines)


def page(found: Sequence[Row], confidence: float) -> str:
    """The page, as Markdown."""
    return f"""\
# Accuracy

Written by `python -m benchmarks.accuracy` on {datetime.now():%Y-%m-%d}, about the test set.
Intervals are at {100 * confidence:g} %: of the mean over seeds or, of a single model, Wilson's.
Minutes of training and milliseconds a review are those of the machine that trained the model.

{table(found)}
"""


def require_the_same_reviews(found: Sequence[Side]) -> None:
    """Raise UserError where the sides were evaluated on other reviews."""
    trainings = [each for side in found for each in side.trainings]
    if len({each.params[TEST_DATA] for each in trainings}) > 1:
        raise UserError("They were evaluated on other test reviews, so they are not comparable.")


@cli.command(__doc__)
@click.argument("names", metavar="SIDE...", nargs=-1, required=True)
def main(names: tuple[str, ...]) -> None:
    params = load_params()
    with tempfile.TemporaryDirectory() as scratch:
        found = [sides.read(name, Path(scratch, str(at))) for at, name in enumerate(names)]
    require_the_same_reviews(found)
    bins, confidence = params.evaluate.calibration_bins, CONFIDENCE
    rows = [row(side, bins, confidence) for side in found]
    files.replace_text(RESULTS, page(rows, confidence))
    print(f"Written: {RESULTS}")


if __name__ == "__main__":
    cli.run("python -m benchmarks.accuracy", main)
