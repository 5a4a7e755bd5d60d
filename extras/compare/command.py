"""`sentiment compare`: show what differs between runs, and whether one of two is better."""

import string
from typing import TYPE_CHECKING

import click

from extras.common import operations
from sentiment.errors import UserError
from workflow import registry, store, versions

if TYPE_CHECKING:
    from mlflow.entities import Run

    from extras.compare.comparison import Side


@click.command()
@click.argument("names", metavar="RUN RUN [RUN]...", nargs=-1)
def command(names: tuple[str, ...]) -> None:
    """Show the params and the metrics that differ between runs.

    A RUN is the id of a run in MLflow, or `champion`. A run with child runs that were evaluated,
    such as several seeds, stands for them. Two runs are compared by a statistical test.
    """
    if not 2 <= len(names) <= len(string.ascii_uppercase):
        raise click.UsageError(f"Name 2 to {len(string.ascii_uppercase)} runs.")
    for name in names:
        if name != registry.CHAMPION and not registry.RUN_ID.fullmatch(name):
            raise click.BadParameter(f"{name} is no id of a run. `sentiment ui` shows the ids.")
    from extras.compare.comparison import describe_runs

    store.connect_to_read()
    with store.store_errors():
        sides = [
            read_side(letter, name)
            for letter, name in zip(string.ascii_uppercase, names, strict=False)
        ]
        check_comparable(sides)
        click.echo(describe_runs(sides))


def read_side(letter: str, name: str) -> "Side":
    """Read a run or its child runs from the store.

    Raises:
        UserError: there is no such run, or it was not evaluated.
    """
    import mlflow

    from extras.compare.comparison import Side

    if name == registry.CHAMPION:
        name = str(operations.connect_to_version(None).run_id)
    run = find_run(name)
    is_child = f"tags.`mlflow.parentRunId` = '{name}'"
    children = mlflow.MlflowClient().search_runs(
        [run.info.experiment_id], is_child, order_by=["attributes.start_time ASC"]
    )
    evaluated: list[Run] = list(children) or [run]
    for each in evaluated:
        if "test_accuracy" not in each.data.metrics:
            raise UserError(f"Run {each.info.run_id} was not evaluated. Name another run.")
    return Side(
        letter=letter,
        run_id=name,
        name=str(run.info.run_name),
        run_ids=[str(each.info.run_id) for each in evaluated],
        params=[each.data.params for each in evaluated],
        metrics=[each.data.metrics for each in evaluated],
        evaluations=[versions.download_evaluation(each.info.run_id) for each in evaluated],
    )


def find_run(run_id: str) -> "Run":
    """Return the run with this id.

    Raises:
        UserError: the store has no such run.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in store.NOT_FOUND_CODES:
            raise
        raise UserError(f"The tracking store has no run {run_id}.") from None


def check_comparable(sides: "list[Side]") -> None:
    """Check that all runs differ and were evaluated on the same test set.

    Raises:
        UserError: they cannot be compared.
    """
    run_ids = [run_id for side in sides for run_id in side.run_ids]
    repeated = sorted({run_id for run_id in run_ids if run_ids.count(run_id) > 1})
    if repeated:
        raise UserError(f"Run {repeated[0]} is named twice. Name runs that differ.")
    first = sides[0]
    for side in sides:
        for evaluation in side.evaluations:
            if evaluation.inputs.test_set != first.evaluations[0].inputs.test_set:
                raise UserError(
                    f"{first.run_id} and {side.run_id} were evaluated on different test sets. "
                    "Name runs of the same dataset."
                )
