"""A sweep from its start to its report."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import mlflow
import numpy as np
import optuna
import pandas as pd
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from extras.common.operations import connect_operations
from extras.sweep.space import CONFIG_FILE, read_config, round_values
from extras.sweep.study import (
    DONE,
    ERROR,
    METRIC,
    best_trials,
    count_trials,
    enqueue_confirmations,
    fail_lost_trials,
    open_confirmation,
    open_search,
    open_storage,
    rank_confirmed_trials,
    storage_errors,
    study_name,
)
from extras.sweep.trial import Sweep, end_lost_runs, started_run
from extras.sweep.workers import run_workers
from sentiment.errors import UserError
from sentiment.params import Params
from workflow import files, provenance, store
from workflow.files import FETCH, FetchInputs
from workflow.params_file import PARAMS_FILE, load_params

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SWEEP_DATABASE = "sweeps.db"  # in the project's root
KEY = "sweep.key"  # tag of a parent run: name of the study that searches
MIN_PLOTTED = 4  # completed trials, before the importance of params says anything


def run_sweep(n_trials: int, workers: int, storage: str | None) -> tuple[str, dict[str, Any]]:
    """Search until the sweep has this many trials, confirm the best ones, and log the result.

    Args:
        n_trials: number of trials, with those of earlier calls.
        workers: number of processes on this machine.
        storage: URL of a database. None: that in the root.

    Returns:
        The confirmed trials as a table for a reader, and the winner's values by dotted name.

    Raises:
        UserError: a store cannot be used, `data/fetch` is not of these params, a worker failed, or
            there is no result.
    """
    params = load_params()
    config = read_config(params)
    if files.read_inputs(FETCH, FetchInputs).fetch != params.fetch.used():
        raise UserError(f"{FETCH} has other reviews than {PARAMS_FILE}. Run `dvc repro fetch`.")
    url = storage or f"sqlite:///{files.root() / SWEEP_DATABASE}"
    with storage_errors():
        opened = open_storage(url)
        name = study_name(params, config)
        searched = open_search(opened, name)
        confirmed = open_confirmation(opened, name)
        with sweep_run(name, params) as run:
            sweep = Sweep(name, url, params, config, run.info.run_id, run.info.experiment_id)
            search(sweep, searched, n_trials, workers)
            best = best_trials(searched, config.best)
            table = confirm(sweep, opened, searched, confirmed, best, workers)
            text = describe_table(table)
            log_report(text, searched)
    winner = next(trial for trial in best if trial.number == table["trial"][0])
    return text, round_values(winner.params)


@contextmanager
def sweep_run(name: str, params: Params) -> "Iterator[mlflow.ActiveRun]":
    """Start or resume the parent run of a sweep, and end it with the block.

    Raises:
        StoreError: the store cannot be used.
    """
    experiment = connect_operations()
    with store.store_errors():
        found = mlflow.MlflowClient().search_runs([experiment], f"tags.`{KEY}` = '{name}'")
    with started_run(
        run_id=found[0].info.run_id if found else None,
        run_name=name.replace("-", " "),
        tags={KEY: name, **provenance.provenance_tags(provenance.uncommitted_changes())},
        description=f"A sweep on `{params.fetch.name}`. Its trials are the runs below it.",
    ) as run:
        with store.store_errors():
            mlflow.log_artifact(str(CONFIG_FILE))
            mlflow.log_artifact(str(PARAMS_FILE))
        yield run


def search(sweep: Sweep, searched: optuna.Study, n_trials: int, workers: int) -> None:
    """Train until the search has this many trials."""

    def count_missing() -> int:
        return n_trials - count_trials(searched, *DONE)

    done = count_trials(searched, *DONE)
    click.echo(f"{sweep.name}: {done} of {n_trials} trials are done")
    click.echo(store.run_url(sweep.experiment, sweep.parent))
    run_workers(sweep, n_trials, workers, count_missing)


def confirm(
    sweep: Sweep,
    storage: RDBStorage,
    searched: optuna.Study,
    confirmed: optuna.Study,
    best: Sequence[FrozenTrial],
    workers: int,
) -> pd.DataFrame:
    """Train the best trials again with further seeds, and return a table of them.

    Raises:
        UserError: no trial was confirmed, or another machine still trains some.
    """

    def count_missing() -> int:
        return count_trials(confirmed, TrialState.WAITING)

    first = sweep.params.train.seed + 1
    seeds = range(first, first + sweep.config.seeds)
    enqueue_confirmations(confirmed, best, seeds)
    if count_missing():
        completed = count_trials(searched, TrialState.COMPLETE)
        click.echo(describe_confirmation(best, completed, count_missing(), workers))
    while True:
        run_workers(sweep, None, workers, count_missing)
        fail_lost_trials(storage, searched, confirmed)
        end_lost_runs(sweep, searched, confirmed)
        if not count_missing():
            break
    if count_trials(confirmed, TrialState.RUNNING):
        raise UserError(
            "Another machine still trains some of the best trials with further seeds. Run the same "
            "command again when they are done."
        )
    table = rank_confirmed_trials(confirmed, best, seeds)
    if table.empty:
        errors = [trial.user_attrs.get(ERROR) for trial in searched.get_trials(deepcopy=False)]
        reasons = ", ".join(filter(None, errors)) or "all were pruned"
        raise UserError(f"No trial was trained to its end and confirmed: {reasons}")
    return table


def describe_confirmation(
    best: Sequence[FrozenTrial], completed: int, missing: int, workers: int
) -> str:
    """Return what is trained again, and how long that may take.

    Args:
        best: the trials to confirm.
        completed: number of trials that were trained to their end.
        missing: number of trainings.
        workers: number of processes.
    """
    durations = [trial.duration.total_seconds() for trial in best if trial.duration is not None]
    minutes = math.ceil(missing / workers) * float(np.mean(durations)) / 60
    return (
        f"The best {len(best)} of {completed} completed trials are trained again with further "
        f"seeds: {missing} trainings, about {minutes:.1f} minutes"
    )


def describe_table(table: pd.DataFrame) -> str:
    """Return the confirmed trials for a reader."""
    rows = table.to_string(index=False, float_format="%.4f")
    return f"The best by {METRIC}: in the search, and with further seeds\n{rows}"


def log_report(text: str, searched: optuna.Study) -> None:
    """Log the table and Optuna's plots to the active run."""
    with store.store_errors():
        mlflow.log_text(f"{text}\n", "table.txt")
        for name, figure in draw_plots(searched).items():
            mlflow.log_figure(figure, f"{name}.png")


def draw_plots(searched: optuna.Study) -> "dict[str, Figure]":
    """Return Optuna's plots of a study by name, if it has enough trials for them."""
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    if count_trials(searched, TrialState.COMPLETE) < MIN_PLOTTED:
        return {}
    pyplot.switch_backend("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the plots are experimental, which they say each time
        drawn = {
            "history": plots.plot_optimization_history(searched, target_name=METRIC),
            "importances": plots.plot_param_importances(searched, target_name=METRIC),
            "values": plots.plot_slice(searched, target_name=METRIC),
        }
    return {name: np.ravel(axes)[0].get_figure() for name, axes in drawn.items()}
