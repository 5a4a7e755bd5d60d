"""`sentiment compare`: whether params or models are better than others by more than chance."""

from typing import TYPE_CHECKING

import click

from sentiment.errors import UserError
from sentiment.project.params_file import load_params
from sentiment.tracking import registry, store, versions

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run


@click.command()
@click.argument("names", metavar="[RUN RUN]", nargs=-1)
def command(names: tuple[str, ...]) -> None:
    """Compare params over their seeds, or the models of two RUNs.

    Without RUNs, this shows the mean test accuracy of each set of params over its seeds.
    A RUN is the id of a run in MLflow or its beginning, `champion`, or a version such as
    models:/imdb-sentiment/1. To train another seed: dvc exp run --temp -S train.seed=43
    """
    if len(names) not in (0, 2):
        raise click.UsageError(
            "Name two runs or none. To compare more, select them in MLflow, and press Compare."
        )
    from sentiment.compare import report
    from sentiment.compare.groups import group_runs

    dataset = load_params().fetch.dataset_name
    store.connect_to_read()
    with store.store_errors():
        runs = find_evaluated_runs(registry.registered_name(dataset))
        groups = group_runs(runs)
        if not names:
            click.echo(report.describe_groups(list(groups.values())))
            return
        a, b = (resolve_run(name, runs, dataset) for name in names)
        predictions = predictions_for_one_test_set(a, b)
    click.echo(report.describe_runs(a, b, predictions, groups))


def find_evaluated_runs(name: str) -> "list[Run]":
    """Return the finished runs of an experiment that have a complete evaluation, newest first.

    Raises:
        UserError: there are none.
    """
    import mlflow

    from sentiment.tracking.runs import EVALUATION_DIGEST

    experiment = mlflow.get_experiment_by_name(name)
    runs: list[Run] = []
    if experiment is not None:
        runs = mlflow.search_runs(
            [experiment.experiment_id],
            f"attributes.status = 'FINISHED' AND tags.`{EVALUATION_DIGEST}` != ''",
            order_by=["attributes.start_time DESC"],
            output_format="list",
        )
    if not runs:
        raise UserError(
            f"The experiment {name} has no finished run with an evaluation. To make one: dvc repro"
        )
    return runs


def resolve_run(name: str, runs: "list[Run]", dataset: str) -> "Run":
    """Return the run of an id, of a version or of the champion.

    Args:
        name: what the user has typed.
        runs: the runs that can be compared.

    Raises:
        UserError: there is none, or there are several.
    """
    run_id = name
    if name == registry.CHAMPION:
        run_id = str(versions.resolve_version(None, dataset).run_id)
    elif name.startswith("models:"):
        run_id = str(versions.resolve_version(name, dataset).run_id)
    found = [run for run in runs if run.info.run_id.startswith(run_id)]
    if not found:
        raise UserError(
            f"{name}: the experiment {registry.registered_name(dataset)} has no finished run with "
            f"an evaluation whose id begins with {run_id}. MLflow's UI shows the ids."
        )
    if len(found) > 1:
        raise UserError(f"{name}: {len(found)} ids of runs begin with it. Write more of the id.")
    return found[0]


def predictions_for_one_test_set(a: "Run", b: "Run") -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return the predictions of two runs for the same reviews.

    Raises:
        UserError: it is one run, an evaluation is missing or damaged, or the test sets differ.
    """
    run_ids = [run.info.run_id for run in (a, b)]
    if run_ids[0] == run_ids[1]:
        raise UserError(f"Run {run_ids[0]} is named twice. Name two runs that differ.")
    evaluation_a, evaluation_b = map(versions.download_evaluation, run_ids)
    if evaluation_a.manifest.test_set_digest != evaluation_b.manifest.test_set_digest:
        raise UserError(
            f"{' and '.join(run_ids)} were evaluated on different test sets. Name runs of the same "
            "dataset."
        )
    return evaluation_a.predictions, evaluation_b.predictions
