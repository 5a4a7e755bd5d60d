"""`sentiment compare`: params over their seeds, and two models."""

from typing import TYPE_CHECKING, Any

import click

from sentiment import options
from sentiment.errors import UserError
from sentiment.project.files.params_file import load_params
from sentiment.project.files.paths import Project
from sentiment.terminal import show
from sentiment.tracking import address, evaluations, registry, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@click.command()
@click.argument("names", metavar="[RUN RUN]", nargs=-1)
@options.metric
@click.pass_obj
def command(project: Project, names: tuple[str, ...], metric: Any) -> None:
    """Compare params over their seeds, or the models of two RUNs.

    Without RUNs, this shows the mean of a metric of each set of params over its seeds. A RUN is the
    id of a run in MLflow or its beginning, `champion`, or a version such as
    models:/imdb-sentiment/1.
    """
    if len(names) not in (0, 2):
        raise click.UsageError(
            "Name two runs or none. To compare more, select them in MLflow, and press Compare."
        )
    from sentiment.compare import report
    from sentiment.compare.groups import find_group, find_groups
    from sentiment.tracking import runs

    dataset = load_params(project).fetch.dataset_name
    client = store.connect_to_read(project)
    with address.store_errors():
        if not names:
            groups = find_groups(client, find_evaluated_runs(client, dataset))
            show(report.describe_groups(groups, metric))
            return
        both = dict(zip("AB", (resolve_run(client, name, dataset) for name in names), strict=True))
        ids = [run.info.run_id for run in both.values()]
        if len({*ids}) == 1:
            raise UserError(f"Run {ids[0]} is named twice. Name two runs that differ.")
        predictions = {
            letter: evaluations.download_predictions(client, run.info.run_id)
            for letter, run in both.items()
        }
        others = find_evaluated_runs(client, both["A"].data.tags.get(runs.DATASET, dataset))
        found = [*both.values(), *(run for run in others if run.info.run_id not in ids)]
        groups_of_both = {letter: find_group(client, found, run) for letter, run in both.items()}
    show(report.describe_runs(groups_of_both, both, predictions, metric))


def find_evaluated_runs(client: "MlflowClient", dataset: str) -> "list[Run]":
    """Return the finished runs on a dataset that are evaluated, the newest first.

    They may be in any experiment, since people rename and move them.

    Raises:
        UserError: there are none.
    """
    from sentiment.tracking import runs

    # MLflow's filter has no way to write a name with both kinds of quotes.
    found = [
        run
        for run in runs.search_runs(client, "attributes.status = 'FINISHED'")
        if run.data.tags.get(runs.DATASET) == dataset and "test_accuracy" in run.data.metrics
    ]
    if not found:
        raise UserError(
            f"MLflow has no finished run on {dataset} with an evaluation. To make one: dvc repro"
        )
    return found


def resolve_run(client: "MlflowClient", name: str, dataset: str) -> "Run":
    """Return the run of an id, of a version or of the champion.

    Args:
        name: what the user has typed.

    Raises:
        UserError: there is none, or there are several.
    """
    from sentiment.tracking import runs

    if name == registry.CHAMPION:
        return client.get_run(str(registry.resolve_version(client, None, dataset).run_id))
    if name.startswith("models:"):
        return client.get_run(str(registry.resolve_version(client, name, dataset).run_id))
    return runs.find_run(client, name)
