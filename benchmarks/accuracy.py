"""Tabulate the test accuracy of models over seeds: `python -m benchmarks.accuracy RUN...`.

Each RUN is the id of a parent run that `sentiment seeds` logged. Writes `accuracy.md` next to this
file.
"""

from datetime import date
from pathlib import Path

import click
import mlflow
import pandas as pd

from sentiment.prediction.backend import usable_cores
from workflow import registry
from workflow.checkpoint import processor_name
from workflow.params_file import load_params

RESULTS = Path(__file__).with_name("accuracy.md")


def read_row(experiment_id: str, run_id: str) -> dict[str, str]:
    """Return a row of the table: accuracy over the seeds, and the median duration of their runs."""
    parent = mlflow.get_run(run_id)
    metrics = parent.data.metrics
    children = mlflow.MlflowClient().search_runs(
        [experiment_id], f"tags.mlflow.parentRunId = '{run_id}'"
    )
    durations = pd.Series([child.info.end_time - child.info.start_time for child in children])
    low = metrics["test_accuracy_low"]
    high = metrics["test_accuracy_high"]
    return {
        "model": str(parent.info.run_name),
        "test accuracy": f"{metrics['test_accuracy_mean']:.4f}",
        "95% interval": f"{low:.4f} to {high:.4f}",
        "standard deviation": f"{metrics['test_accuracy_sd']:.4f}",
        "minutes": f"{durations.median() / 60_000:.1f}",
    }


@click.command(help=__doc__)
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
def main(run_ids: tuple[str, ...]) -> None:
    experiment_id = registry.connect_trainings(load_params().fetch.name)
    table = pd.DataFrame([read_row(experiment_id, run_id) for run_id in run_ids])
    page = f"""\
# Accuracy

Mean over seeds and its interval, on the test set. Minutes are of one run: training and evaluation.
Written by `python -m benchmarks.accuracy` on {date.today()}; {processor_name()}, {usable_cores()} \
cores.

{table.to_markdown(index=False, disable_numparse=True)}
"""
    RESULTS.write_text(page, encoding="utf-8")
    click.echo(page)


if __name__ == "__main__":
    main()
