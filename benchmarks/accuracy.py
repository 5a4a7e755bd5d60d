"""`python -m benchmarks.accuracy`: tabulate test metrics and costs of models.

Each RUN is named as in `make compare`, for example by the id of a run or of a seed group's parent
run. A group gets a row with its means. Writes `accuracy.md` next to this file.
"""

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
import mlflow
import numpy as np
import pandas as pd

from extras.common import evaluated_runs
from extras.common.evaluated_runs import RunGroup
from extras.common.intervals import CONFIDENCE, metric_interval, t_interval
from sentiment.errors import UserError
from sentiment.evaluation.metrics import METRICS, Interval, Predictions
from workflow import commands, files
from workflow.outputs import TEST_DIGEST
from workflow.params import load_params

RESULTS = Path(__file__).with_name("accuracy.md")


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        name: name of the model.
        accuracy: test accuracy; in a group, the mean.
        interval: confidence interval of the mean or, for a single model, Wilson's.
        deviation: standard deviation between seeds; None for a single model.
        ece: mean expected calibration error.
        reach: mean reach of the gradient, in words.
        minutes: mean duration of a training.
        parameters: number of parameters.
        milliseconds: duration of a prediction.
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


def make_row(group: RunGroup, bins: int, confidence: float) -> Row:
    """Return the row of a single run, or of the means of several."""
    accuracy = METRICS["accuracy"]
    calibration_error = METRICS["ece"]
    tables = [Predictions(run.predictions, bins) for run in group.runs]
    accuracies = np.array([accuracy.compute(table) for table in tables])
    runs = [mlflow.get_run(run.run_id) for run in group.runs]
    reaches = [run.data.metrics["gradient_reach"] for run in runs]
    durations = [run.info.end_time - run.info.start_time for run in runs]
    interval = metric_interval(accuracy, tables[0], confidence) if group.is_single else None
    return Row(
        name=group.name,
        accuracy=float(accuracies.mean()),
        interval=interval or t_interval(accuracies, confidence),
        deviation=None if group.is_single else float(accuracies.std(ddof=1)),
        ece=float(np.mean([calibration_error.compute(table) for table in tables])),
        reach=float(np.mean(reaches)),
        minutes=float(np.mean(durations)) / 60_000,
        parameters=group.cost["parameters"],
        milliseconds=group.cost["milliseconds_per_review"],
    )


def render_table(rows: Sequence[Row]) -> str:
    """Render the table as Markdown."""
    cells = [
        {
            "model": row.name,
            "test accuracy": f"{row.accuracy:.4f}",
            "interval": f"{row.interval.low:.4f} to {row.interval.high:.4f}",
            "standard deviation": "" if row.deviation is None else f"{row.deviation:.4f}",
            "ECE": f"{row.ece:.3f}",
            "gradient reach": f"{row.reach:.0f}",
            "minutes": f"{row.minutes:.1f}",
            "parameters": f"{row.parameters:,.0f}",
            "ms a review": f"{row.milliseconds:.2f}",
        }
        for row in rows
    ]
    return pd.DataFrame(cells).to_markdown(index=False, disable_numparse=True)


def render_page(rows: Sequence[Row], confidence: float) -> str:
    """Render the page as Markdown."""
    return f"""\
# Accuracy

Written by `python -m benchmarks.accuracy` on {datetime.now():%Y-%m-%d}, about the test set.
Intervals are at {100 * confidence:g}%: of the mean over seeds or, of a single model, Wilson's.
Minutes of training and milliseconds a review were measured on the machine that trained the model.

{render_table(rows)}
"""


def check_same_reviews(groups: Sequence[RunGroup]) -> None:
    """Check that all groups were evaluated on the same test reviews.

    Raises:
        UserError: they were not.
    """
    runs = [run for group in groups for run in group.runs]
    if len({run.params[TEST_DIGEST] for run in runs}) > 1:
        raise UserError(
            "The runs were evaluated on different test reviews. Name runs with the same test set."
        )


@commands.command(__doc__)
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
def main(names: tuple[str, ...]) -> None:
    params = load_params()
    with tempfile.TemporaryDirectory() as scratch:
        groups = [
            evaluated_runs.read_run_group(name, Path(scratch, str(at)))
            for at, name in enumerate(names)
        ]
    check_same_reviews(groups)
    bins = params.evaluate.calibration_bins
    rows = [make_row(group, bins, CONFIDENCE) for group in groups]
    files.write_text_atomically(RESULTS, render_page(rows, CONFIDENCE))
    print(f"Wrote {RESULTS}")


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.accuracy", main)
