"""`sentiment reproduce`: whether a run gives the same results again."""

import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import click

from sentiment.project.params_file import PARAMS_FILE, update_params_file
from sentiment.tracking import store


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--params", is_flag=True, help="Only write the params of the run into params.yaml.")
def command(run_id: str | None, params: bool) -> None:
    """Train and evaluate a RUN again, and compare the results.

    This happens in a temporary clone with the commit, the uncommitted changes, the params and the
    data of the run, and the packages of this environment. Arrays, model, epochs and predictions are
    compared bit for bit. Without RUN: the run of the results in data/. Nothing in the project
    changes. The exit status is 1 if a result differs. This runs the code of whoever logged the run.
    """
    from sentiment.reproduce import clone, comparison, record

    store.connect_to_read()
    run_id = run_id or record.find_own_run()
    if params:
        changes = update_params_file(record.read_params(run_id))
        click.echo("\n".join(changes) or f"{PARAMS_FILE} has these values already.")
        return
    exit_on_signals()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        run = record.download_run(run_id, folder)
        project = clone.make_clone(run, folder / "clone")
        stages = clone.run_stages(run, project)
        results = comparison.compare_results(run, project, stages)
    click.echo(comparison.describe_comparison(run, results))
    sys.exit(not results.is_equal)


def exit_on_signals() -> None:
    """Let signals that end a process raise `SystemExit`, so that the clone is removed."""

    def exit_now(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
            signal.signal(number, exit_now)
