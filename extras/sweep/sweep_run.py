"""A sweep from its start to its report, or to the params that it found."""

import sys
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from extras.common import cluster
from extras.sweep import environment, space, study, sweep, sweep_page
from extras.sweep.sweep import Candidate, Sweep
from extras.sweep.sweep_options import FILE, SweepOptions
from extras.sweep.workers import search
from sentiment.errors import StoreError, UserError, first_line
from workflow import params_file, tracking
from workflow.params import PARAMS_FILE, load_params, load_yaml

REPORTS = Path("reports")
FIRST = 5  # trials of a call that may not all fail


def make(
    trials: int, workers: int, scheduler: str | None, apply: bool
) -> tuple[dict[str, Any], str]:
    """Sweep until there are so many trials, or write a finished sweep's winner into params.yaml.

    Returns:
        What `make sweep JSON=1` prints, and the same for a reader.

    Raises:
        UserError: a store or the scheduler cannot be used, the first trials all failed, or there is
            no finished sweep to apply.
    """
    with study.as_user_error():
        params = load_params()
        options = load_yaml(SweepOptions, FILE)
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
    return {**document, "applied": changes}, printed


def report(this_sweep: Sweep) -> None:
    """Write the report, and log it to the sweep's run."""
    folder = REPORTS / this_sweep.name
    sweep_page.write(this_sweep, folder)
    try:
        tracking.log_folder(tracking.get_run(this_sweep.run_id), folder)
    except (StoreError, OSError) as error:
        print(f"The report is not logged to MLflow: {first_line(error)}", file=sys.stderr)


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


class Watcher:
    """Shows the trials of a study as they end, and stops a sweep whose first trials all fail."""

    def __init__(self, this_sweep: Sweep, searched: optuna.Study, kind: str) -> None:
        self.sweep, self.study, self.kind = this_sweep, searched, kind
        self.before = {trial.number for trial in study.ended(searched)}
        self.shown: list[FrozenTrial] = []  # since then, in the order in which they ended

    def __call__(self) -> None:
        ended = study.ended(self.study)
        known = self.before | {trial.number for trial in self.shown}
        for trial in ended:
            if trial.number not in known:
                self.shown.append(trial)
                print(f"{self.line(trial)}; {len(ended)} of {study.wanted(self.study)}", flush=True)
        failed = [trial for trial in self.shown[:FIRST] if trial.state.name == "FAIL"]
        if len(failed) == FIRST:
            why = failed[0].user_attrs.get(study.ERROR, "its process died")
            raise UserError(f"The first {FIRST} trials all failed. The first one: {why}")

    def line(self, trial: FrozenTrial) -> str:
        outcome = {
            "COMPLETE": f"{self.sweep.options.metric} {trial.value or 0:.4f}",
            "PRUNED": "pruned",
            "FAIL": f"failed: {trial.user_attrs.get(study.ERROR, 'its process died')}",
        }[trial.state.name]
        return f"{self.kind} {trial.number}: {outcome}, {space.as_text(study.values_of(trial))}"


def apply_best(this_sweep: Sweep, winners: list[Candidate]) -> list[str]:
    """Write the winner's values into params.yaml; return what changed, a line for each.

    Raises:
        UserError: the sweep is not finished: of two, one that was confirmed may be the worse one.
    """
    if not (winners and sweep.is_finished(this_sweep)):
        raise UserError(
            "There is no finished sweep of these params, data and code: `make sweep` finishes it."
        )
    return params_file.update_params_file(PARAMS_FILE, winners[0].values)


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
            f"\nThe best by {this_sweep.options.metric}, and means with further seeds (± their "
            "standard deviation):",
            f"{'trial':>6}  {'found':>8}  {'mean':>8}",
            *rows,
            f"Write the first one into params.yaml: make sweep APPLY=1. {run}",
        ]
    )
