"""`sentiment reproduce`: whether a run gives the same results again."""

import sys
import tempfile
from pathlib import Path

import click

from sentiment.project.files.params_file import PARAMS, load_params, update_params_file
from sentiment.project.files.paths import Project
from sentiment.project.files.records import read_run_record
from sentiment.terminal import show
from sentiment.tracking import address, store


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--params", is_flag=True, help="Only write the params of the run into params.yaml.")
@click.pass_obj
def command(project: Project, run_id: str | None, params: bool) -> None:
    """Train and evaluate a RUN again, and compare the results.

    This happens in a temporary git worktree with the commit, the uncommitted changes and the params
    of the run, and the packages of this environment. Arrays, model and predictions are compared bit
    for bit. Without RUN, it is the run of the results in data/. Nothing in the project changes. The
    exit status is 1 if a result differs. This runs the code of whoever logged the run.
    """
    from sentiment.reproduce import comparison, record, worktree
    from sentiment.tracking import runs

    client = store.connect_to_read(project)
    with address.store_errors():
        run = runs.find_run(client, run_id or read_run_record(project).run_id)
        if params:
            values = record.read_params(client, run, load_params(project))
            changes = update_params_file(project, values)
            show("\n".join(changes) or f"{PARAMS} has these values already.")
            return
        with tempfile.TemporaryDirectory() as scratch:
            recorded = record.download_run(client, run, Path(scratch))
            with worktree.worktree(project, recorded, Path(scratch) / "worktree") as copy:
                worktree.run_stages(project, recorded, copy, Path(scratch) / "mlflow.db")
                results = comparison.compare_results(recorded, copy)
    show(comparison.describe_comparison(recorded, results))
    sys.exit(not results.is_equal)
