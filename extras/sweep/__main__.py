"""`make sweep`: search the space of extras/sweep/sweep.yaml for the params that validate best.

Optuna proposes trials and keeps their state, Dask places them: on this machine, or on the workers
of a scheduler. Each trial is a child of the sweep's run in MLflow. Called again, the same sweep is
resumed, up to TRIALS. The best trials are then trained again under further seeds; the best mean
wins. APPLY=1 writes the winner's values into params.yaml, for `dvc repro`.
"""

from pathlib import Path

import click

from extras.common import cluster
from extras.sweep import environment, space, study, sweep
from extras.sweep.sweep import Candidate, Sweep
from extras.sweep.sweep_options import load_options
from extras.sweep.watcher import Watcher
from extras.sweep.workers import search
from sentiment.errors import UserError
from workflow import cli, params_file
from workflow.params import PARAMS_FILE, load_params
from workflow.runs import store

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
    default=environment.fitting,
    show_default="the number of cores, or as many as fit into the memory",
    help="Processes on this machine.",
)
@cli.option("--scheduler", variable="SCHEDULER", help="Address of a Dask scheduler to use instead.")
@cli.option("--apply", variable="APPLY", is_flag=True, help="Write the winner into params.yaml.")
@cli.json_option
def main(trials: int, workers: int, scheduler: str | None, apply: bool, as_json: bool) -> int:
    with cli.output_kept(as_json), study.as_user_error():
        params, options = load_params(), load_options()
        if scheduler:
            environment.require_shared()
        this_sweep = sweep.open_sweep(params, options)
        if not apply:
            run(this_sweep, trials, workers, scheduler)
            report(this_sweep)
        winners = sweep.candidates(this_sweep)
        changes = apply_best(this_sweep, winners) if apply else []
    document = {"run_id": this_sweep.run_id, "candidates": [winner._asdict() for winner in winners]}
    printed = "\n".join(changes) if apply else text(this_sweep, winners)
    cli.report({**document, "applied": changes}, printed, as_json)
    return 0 if winners else 1


def report(this_sweep: Sweep) -> None:
    """Write the report, and log it to the sweep's run."""
    import mlflow

    from extras.sweep import sweep_page  # imports Matplotlib: seconds before --help

    folder = REPORTS / this_sweep.name
    sweep_page.write(this_sweep, folder)
    with store.tolerating_errors("The report is not logged to MLflow"):
        mlflow.MlflowClient().log_artifacts(this_sweep.run_id, str(folder))


def run(this_sweep: Sweep, trials: int, workers: int, scheduler: str | None) -> None:
    """Search until the sweep has so many trials, then confirm the best.

    Raises:
        UserError: the first trials all failed, or the scheduler cannot be used.
    """
    first, second = sweep.studies(this_sweep)
    for searched in (first, second):
        study.retry(searched, afresh=True)
    study.want(first, trials)
    if sweep.is_finished(this_sweep):
        return
    required = environment.environment() if scheduler else environment.reviews()
    started = cluster.local(workers)
    if scheduler:
        started = cluster.connected(scheduler, "sweep", environment.environment, environment.ADVICE)
    with started as client:
        search(client, this_sweep, required, first, Watcher(this_sweep, first, "Trial"))
        study.fill_with(second, sweep.to_confirm(this_sweep, first))
        search(client, this_sweep, required, second, Watcher(this_sweep, second, "Confirmation"))


def apply_best(this_sweep: Sweep, winners: list[Candidate]) -> list[str]:
    """Write the winner's values into params.yaml; return what changed, a line for each.

    Raises:
        UserError: the sweep is not finished: of two, one that was confirmed may be the worse one.
    """
    if not (winners and sweep.is_finished(this_sweep)):
        raise UserError(
            "There is no finished sweep of these params, data and code: `make sweep` finishes it."
        )
    return params_file.edit(PARAMS_FILE, winners[0].values)


def text(this_sweep: Sweep, winners: list[Candidate]) -> str:
    run = f"MLflow run {this_sweep.run_id}."
    if not winners:
        return f"No trial was trained to its end, and none confirmed. {run}"
    rows = [
        f"{winner.trial:>6}  {winner.found:>8.4f}  {winner.mean:>8.4f} ± {winner.spread:.4f}  "
        f"{space.as_text(winner.values)}"
        for winner in winners
    ]
    return "\n".join(
        [
            f"\nThe best by {this_sweep.options.metric}, and means under further seeds (± their "
            "standard deviation):",
            f"{'trial':>6}  {'found':>8}  {'mean':>8}",
            *rows,
            f"Write the first one into params.yaml: make sweep APPLY=1. {run}",
        ]
    )


if __name__ == "__main__":
    cli.run("make sweep", main)
