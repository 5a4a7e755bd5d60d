"""`sentiment compare`: whether models, or params over their seeds, differ by more than chance."""

from typing import TYPE_CHECKING, Literal

import click

from sentiment.errors import UserError
from sentiment.project.params_file import load_params
from sentiment.project.paths import Project
from sentiment.tracking import evaluations, registry, runs, store

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run


@click.command()
@click.argument("names", metavar="[RUN RUN]", nargs=-1)
@click.option(
    "--metric",
    type=click.Choice(["accuracy", "f1"]),
    default="accuracy",
    show_default=True,
    help="f1: macro F1 if there are more than two labels.",
)
@click.pass_obj
def command(project: Project, names: tuple[str, ...], metric: Literal["accuracy", "f1"]) -> None:
    """Compare params over their seeds, or two RUNs.

    Without RUNs, this shows the mean test metric of each set of params over its seeds. A RUN is the
    id of a run in MLflow or its beginning, `champion`, or a version such as models:/imdb-sentiment/1.
    """
    if len(names) not in (0, 2):
        raise click.UsageError(
            "Name two runs or none. To compare more, select them in MLflow, and press Compare."
        )
    from sentiment.compare import groups, report

    params = load_params(project.params_file)
    client = store.connect_to_read(project)
    with store.store_errors():
        if not names:
            dataset = params.fetch.dataset_name
            found = find_evaluated_runs(client, dataset)
            if not found:
                raise UserError(
                    f"MLflow has no finished run with an evaluation on {dataset}, the dataset in "
                    "params.yaml. To make one: dvc repro"
                )
            by_repetition = groups.find_groups(client, found)
            click.echo(report.describe_groups(by_repetition, metric, params))
            click.echo(f"\n{report.describe_place(client.tracking_uri, found[0])}")
            return
        pair = [find_named_run(client, name, params.fetch.dataset_name) for name in names]
        predictions = predictions_of_pair(client, *pair)
        found = find_evaluated_runs(client, pair[0].data.tags.get(runs.DATASET, ""))
        sides = [report.Side(run, groups.find_group(client, found, run)) for run in pair]
    click.echo(report.describe_pair(*sides, predictions, metric, params))
    click.echo(f"\n{report.describe_place(client.tracking_uri, pair[1])}")


def find_evaluated_runs(client: "MlflowClient", dataset: str) -> "list[Run]":
    """Return the finished runs with an evaluation on a dataset, the newest first."""
    return runs.search_runs(
        client,
        f'tags.{runs.DATASET} = "{dataset}" AND attributes.status = "FINISHED" '
        "AND metrics.test_accuracy >= 0",
    )


def find_named_run(client: "MlflowClient", name: str, dataset: str) -> "Run":
    """Return the run of an id or its beginning, of a version, or of the champion of a dataset.

    Raises:
        UserError: there is none, or there are several.
    """
    if name == registry.CHAMPION:
        name = str(registry.resolve_version(client, None, dataset).run_id)
    elif name.startswith("models:"):
        name = str(registry.resolve_version(client, name, dataset).run_id)
    return runs.find_run(client, name)


def predictions_of_pair(
    client: "MlflowClient", a: "Run", b: "Run"
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return the predictions of two runs for the same texts, in the same order.

    Raises:
        UserError: it is one run, an evaluation is missing or damaged, or the test sets differ.
    """
    ids = [run.info.run_id for run in (a, b)]
    if ids[0] == ids[1]:
        raise UserError(f"Run {ids[0]} is named twice. Name two runs that differ.")
    of_a, of_b = (evaluations.download_predictions(client, run_id) for run_id in ids)
    test_sets = {run.data.tags.get(runs.TEST_SET_DIGEST) for run in (a, b)}
    if len(test_sets) > 1:
        raise UserError(
            f"Runs {' and '.join(ids)} were evaluated on different test sets. Name two runs with "
            "the same one."
        )
    return of_a.sort_values("review"), of_b.sort_values("review")
