"""`make seeds N=5`: train the current params under N seeds, as one group.

Each seed is a DVC experiment of its own, so that nothing is trained twice and an interrupted
training is resumed. The parent run in MLflow has mean and spread; `make compare` takes its id.
"""

import tempfile
from pathlib import Path

import click

from extras.seeds import experiments, seed_group
from extras.seeds.seed_group import Group
from workflow import cli
from workflow.params import load_params
from workflow.runs import store
from workflow.runs.identity import SEPARATOR, run_name


@cli.command(__doc__)
@cli.option(
    "--count",
    variable="N",
    type=click.IntRange(min=2),
    default=5,
    help="Train under this many seeds, from train.seed in params.yaml on.",
)
@cli.json_option
def main(count: int, as_json: bool) -> None:
    with cli.output_kept(as_json):
        group = train_group(count)
        run_id = seed_group.log(group)
    cli.report(seed_group.document(group, run_id), f"\n{seed_group.table(group, run_id)}", as_json)


def train_group(count: int) -> Group:
    """Train the current params under `count` seeds, as far as they are not trained yet.

    Raises:
        UserError: there is no git commit, the store cannot be used, or a training failed.
    """
    params = load_params()
    wanted = experiments.under_seeds(params, count)
    experiments.require_copies(params.fetch)
    store.connect()
    with tempfile.TemporaryDirectory() as scratch:
        members = list(experiments.trained(wanted, Path(scratch), "make seeds"))
    name = run_name(params.train, members[0].settings_used, None)
    seedless = name.replace(f"{SEPARATOR}seed {params.train.seed}", "")
    return Group(f"{count} seeds{SEPARATOR}{seedless}", experiments.short_key(params), members)


if __name__ == "__main__":
    cli.run("make seeds", main)
