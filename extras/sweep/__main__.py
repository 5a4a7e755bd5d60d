"""`make sweep`: search the space of extras/sweep/sweep.yaml for the params that validate best.

Optuna proposes trials and keeps their state, Dask places them: on this machine, or on the workers
of a scheduler. Each trial is a child of the sweep's run in MLflow. Called again, the same sweep is
resumed, up to TRIALS. The best trials are then trained again under further seeds; the best mean
wins. APPLY=1 writes the winner's values into params.yaml, for `dvc repro`.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extras.sweep import cluster, progress, space, study, sweep
from extras.sweep.sweep import Candidate, Sweep
from extras.sweep.sweep_options import load_options
from extras.sweep.watcher import Watcher
from extras.sweep.workers import search
from sentiment.errors import UserError
from workflow import cli, params_file
from workflow.params import PARAMS_FILE, load_params
from workflow.runs import store

if TYPE_CHECKING:
    import optuna

REPORTS = Path("reports")


@cli.command(__doc__)
@cli.option(
    "--trials",
    variable="TRIALS",
    type=click.IntRange(min=1),
    default=20,
    help="How many trials the sweep is to have, those of earlier calls included.",
)
@cli.option(
    "--workers",
    variable="WORKERS",
    type=click.IntRange(min=1),
    default=cluster.fitting,
    show_default="the number of cores, or as many as fit into the memory",
    help="Processes on this machine.",
)
@cli.option("--scheduler", variable="SCHEDULER", help="Address of a Dask scheduler to use instead.")
@cli.option("--apply", variable="APPLY", is_flag=True, help="Write the winner into params.yaml.")
@cli.option("--force", variable="FORCE", is_flag=True, help="Even if the sweep is not finished.")
@cli.json_option
def main(
    trials: int, workers: int, scheduler: str | None, apply: bool, force: bool, as_json: bool
) -> int:
    require_packages()
    with cli.output_kept(as_json), study.as_user_error():
        params, options = load_params(), load_options()
        if scheduler:
            cluster.require_servers(study.address())
            cluster.require_committed()
        this_sweep = sweep.open_sweep(params, options)
        if others := sweep.unfinished(this_sweep):
            print(
                f"A new sweep. Not resumed: {', '.join(others)}, of other params, space, data or "
                "code, see docs/sweeps.md"
            )
        if not apply:
            run(this_sweep, trials, workers, scheduler)
        winners = sweep.candidates(this_sweep)
        if winners or not apply:
            report(this_sweep, winners)
        changes = apply_best(this_sweep, winners, force) if apply else []
    document = {"run_id": this_sweep.run_id, "candidates": [winner._asdict() for winner in winners]}
    printed = "\n".join(changes) if apply else text(this_sweep, winners)
    cli.report({**document, "applied": changes}, printed, as_json)
    return 0 if winners or apply else 1


def report(this_sweep: Sweep, winners: list[Candidate]) -> None:
    """Write the report, and log it and the best so far to the sweep's run."""
    from extras.sweep import sweep_page  # imports Matplotlib: seconds before --help

    folder = REPORTS / this_sweep.name
    sweep_page.write(this_sweep, winners, folder)
    with store.tolerating_errors("The report is not logged to MLflow"):
        sweep.log_best(
            this_sweep, sweep.studies(this_sweep)[0]
        )  # of trials that ended when nobody watched
        sweep.log_outcome(this_sweep, winners[0] if winners else None, folder)


def require_packages() -> None:
    """Raise UserError where the packages of sweeps are not installed."""
    missing = [name for name in ("optuna", "distributed") if not find_spec(name)]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} must be installed: `make sweep` does it, or "
            "pip install --require-hashes -r extras/sweep/requirements.txt"
        )


def run(this_sweep: Sweep, trials: int, workers: int, scheduler: str | None) -> None:
    """Search until the sweep has so many trials, then confirm the best.

    Raises:
        UserError: the first trials all failed, or the scheduler cannot be used.
    """
    task = sweep.read_task(this_sweep)
    first, second = sweep.studies(this_sweep)
    for searched in (first, second):
        study.renew(searched)
    study.want(first, trials)
    if study.is_over(first) and not sweep.unconfirmed(this_sweep, first, second):
        return
    required = cluster.environment() if scheduler else {}
    started = cluster.connected(scheduler, required) if scheduler else cluster.local(workers)
    with started as client:
        train = partial(search, client, task, required)
        watched(this_sweep, first, "Trial", train)
        study.fill_with(second, sweep.to_confirm(this_sweep, first))
        study.want(second, 0)
        watched(this_sweep, second, "Confirmation", train)


def watched(
    this_sweep: Sweep, searched: "optuna.Study", kind: str, train: Callable[..., None]
) -> None:
    """Train the trials of a study, and show how far that is; where it ends early, so do workers."""
    with progress.shown(study.wanted(searched)) as display:
        watcher = Watcher(this_sweep, searched, kind, display)
        try:
            while not study.is_over(searched) or study.find_lost(searched):
                look = partial(study.patiently, watcher)
                train(searched, look)
                require_not_stopped(searched)
        except BaseException:
            with suppress(Exception):
                study.stop(searched)
            raise


def require_not_stopped(searched: "optuna.Study") -> None:
    """Raise UserError where another command has stopped the study meanwhile."""
    if study.is_stopped(searched):
        raise UserError("Another `make sweep` of this sweep was ended, and its workers with it.")


def apply_best(this_sweep: Sweep, winners: list[Candidate], force: bool) -> list[str]:
    """Write the winner's values into params.yaml; return what changed, a line for each.

    Raises:
        UserError: the sweep is not finished, unless that is forced, or has no trial yet.
    """
    first, second = sweep.studies(this_sweep)
    searched = bool(winners) and study.is_over(first)
    complete = searched and not sweep.unconfirmed(this_sweep, first, second)
    if not complete and not force:
        raise UserError(
            "There is no finished sweep of these params, data and code: `make sweep` finishes it. "
            "`make sweep APPLY=1 FORCE=1` applies the best trial so far."
        )
    best = winners[0].values if winners else best_so_far(first)
    return params_file.edit(PARAMS_FILE, best)


def best_so_far(first: "optuna.Study") -> dict[str, Any]:
    """The values of the best trial; raises UserError where none was trained to its end."""
    trials = study.completed(first)
    if not trials:
        raise UserError("No trial of this sweep was trained to its end yet: run `make sweep`.")
    return study.values_of(trials[0])


def text(this_sweep: Sweep, winners: list[Candidate]) -> str:
    """A sweep as a reader sees it."""
    metric, confirm = this_sweep.options.metric, this_sweep.options.confirm
    rows = [
        f"{winner.trial:>6}  {winner.found:>8.4f}  {winner.mean:>8.4f} ± {winner.spread:.4f}  "
        f"{space.as_text(winner.values)}"
        for winner in winners
    ]
    if not winners:
        return (
            f"No trial was trained to its end, and none confirmed. MLflow run {this_sweep.run_id}."
        )
    return "\n".join(
        [
            f"\nThe best trials by {metric}, and their means under {confirm.seeds} further seeds "
            "(± standard deviation):",
            f"{'trial':>6}  {'found':>8}  {'mean':>8}",
            *rows,
            sweep.about_lead(this_sweep, winners),
            "Write the first one into params.yaml: make sweep APPLY=1. "
            f"MLflow run {this_sweep.run_id}.",
        ]
    )


if __name__ == "__main__":
    cli.run("make sweep", main)
