"""`python -m benchmarks.accuracy`: what models reach on the test set, and what they take.

Each RUN is named as in `make compare`: the id of a training's run or of a group of seeds, say. A
group gets a row for its mean. Writes `accuracy.md` beside this file.
"""

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
import mlflow
import numpy as np

from extras.common import evaluated_runs
from extras.common.evaluated_runs import RunGroup
from extras.common.significance import CONFIDENCE, Interval, metric_interval, t_interval
from sentiment.errors import UserError
from sentiment.evaluation.metrics import METRICS, Predictions
from workflow import commands, files
from workflow.outputs import TEST_DIGEST
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
        reach: how far back the gradient reaches, words, the mean.
        minutes: from the start of the run to the end of its training, the mean.
        parameters: numbers that were learned.
        milliseconds: of an answer.
    """

    name: str
    accuracy: float
    interval: Interval
    deviation: float | None
    ece: float
    reach: float
    minutes: float
    parameters: float
    milliseconds: float


def row(group: RunGroup, bins: int, confidence: float) -> Row:
    """The row of a group as it is: a single training, or the mean of several."""
    accuracy, error = METRICS["accuracy"], METRICS["ece"]
    tables = [Predictions(training.predictions, bins) for training in group.trainings]
    right = np.array([accuracy.compute(table) for table in tables])
    runs = [mlflow.get_run(training.run_id) for training in group.trainings]
    reached = [run.data.metrics["gradient_reach"] for run in runs]
    milliseconds = [run.info.end_time - run.info.start_time for run in runs]
    taken = group.cost
    own = metric_interval(accuracy, tables[0], confidence) if group.single else None
    return Row(
        group.name,
        float(right.mean()),
        own or t_interval(right, confidence),
        None if group.single else float(right.std(ddof=1)),
        float(np.mean([error.compute(table) for table in tables])),
        float(np.mean(reached)),
        float(np.mean(milliseconds)) / 60_000,
        taken["parameters"],
        taken["milliseconds_per_review"],
    )


def table(rows: Sequence[Row]) -> str:
    """The table, as Markdown."""
    columns = ("model", "test accuracy", "interval", "SD", "ECE", "gradient reach", "minutes")
    lines = [f"| {' | '.join([*columns, 'parameters', 'ms a review'])} |", "|" + " --- |" * 9]
    for line in rows:
        low, high = line.interval
        deviation = "" if line.deviation is None else f"{line.deviation:.4f}"
        lines.append(
            f"| {line.name} | {line.accuracy:.4f} | {low:.4f} to {high:.4f} | {deviation} "
            f"| {line.ece:.3f} | {line.reach:.0f} | {line.minutes:.1f} | {line.parameters:,.0f} "
            f"| {line.milliseconds:.2f} |"
        )
    return "\n".join(lines)


def page(rows: Sequence[Row], confidence: float) -> str:
    """The page, as Markdown."""
    return f"""\
# Accuracy

Written by `python -m benchmarks.accuracy` on {datetime.now():%Y-%m-%d}, about the test set.
Intervals are at {100 * confidence:g} %: of the mean over seeds or, of a single model, Wilson's.
Minutes of training and milliseconds a review are those of the machine that trained the model.

{table(rows)}
"""


def require_the_same_reviews(groups: Sequence[RunGroup]) -> None:
    """Raise UserError where the groups were evaluated on other reviews."""
    trainings = [training for group in groups for training in group.trainings]
    if len({training.params[TEST_DIGEST] for training in trainings}) > 1:
        raise UserError("They were evaluated on other test reviews, so they are not comparable.")


@commands.command(__doc__)
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
def main(names: tuple[str, ...]) -> None:
    params = load_params()
    with tempfile.TemporaryDirectory() as scratch:
        groups = [
            evaluated_runs.read_run_group(name, Path(scratch, str(at)))
            for at, name in enumerate(names)
        ]
    require_the_same_reviews(groups)
    bins, confidence = params.evaluate.calibration_bins, CONFIDENCE
    rows = [row(group, bins, confidence) for group in groups]
    files.write_text_atomically(RESULTS, page(rows, confidence))
    print(f"Written: {RESULTS}")


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.accuracy", main)
