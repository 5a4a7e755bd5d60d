"""The processes that train the trials of a sweep.

Optuna's storage has all that is known of the trials, so each process may be killed at any time.
"""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType

import click
import optuna
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from extras.common.operations import connect_operations
from extras.sweep.space import format_values
from extras.sweep.study import (
    CONFIRMS,
    DONE,
    ERROR,
    METRIC,
    SEED,
    count_trials,
    open_confirmation,
    open_search,
    open_storage,
    storage_errors,
)
from extras.sweep.trial import Sweep, train_trial
from sentiment.errors import UserError
from sentiment.prediction.backend import usable_cores
from workflow import files, provenance
from workflow.stage import Interrupted, SignalFlag, describe_error

TRIALS_A_PROCESS = 20  # TensorFlow keeps 30 to 150 MB of each training until its process ends
MAX_KILLED = 5  # workers that a command replaces
THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's variable: threads of an operation
Objective = Callable[[optuna.Trial], float]


def work(sweep: Sweep, n_trials: int | None, threads: int) -> None:
    """Train trials. This is the main function of a process, which exits with one message.

    Args:
        sweep: the sweep.
        n_trials: number of trials that the search is to have. None: train the confirmation.
        threads: number of threads that TensorFlow uses for an operation.
    """
    os.environ.setdefault(THREADS, str(threads))
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it would warn of every new model
    flag = watch_command()
    try:
        with storage_errors():
            connect_operations()
            storage = open_storage(sweep.storage)
            reviews = files.read_reviews(files.FETCH, "train")
            tags = provenance.provenance_tags(provenance.uncommitted_changes())
            objective = partial(train_trial, sweep, reviews, flag, tags)
            if n_trials is None:
                train_enqueued(open_confirmation(storage, sweep.name), objective)
            else:
                run_trials(open_search(storage, sweep.name), objective, n_trials)
    except Interrupted:
        pass  # the command has a message
    except Exception as error:
        message = describe_error(error, "the command")
        if message is None:
            raise
        sys.exit(message)


def watch_command() -> SignalFlag:
    """Return a flag that is set when the command terminates this process, or is gone."""
    command = multiprocessing.parent_process()
    assert command is not None
    flag = SignalFlag(command.pid)

    def stop(number: int, _: FrameType | None) -> None:
        flag.number = number

    signal.signal(signal.SIGTERM, stop)
    return flag


def run_trials(study: optuna.Study, objective: Objective, n_trials: int) -> None:
    """Train trials until a study has this many, or this process has trained enough."""

    def print_progress(study: optuna.Study, trial: FrozenTrial) -> None:
        click.echo(f"{describe_trial(trial)}; {count_trials(study, *DONE)} of {n_trials}")

    # `MaxTrialsCallback` counts only after a trial.
    if count_trials(study, *DONE) < n_trials:
        study.optimize(
            objective,
            n_trials=TRIALS_A_PROCESS,
            callbacks=[MaxTrialsCallback(n_trials, states=DONE), print_progress],
        )


def train_enqueued(study: optuna.Study, objective: Objective) -> None:
    """Train the enqueued trials of a study."""

    def train_if_enqueued(trial: optuna.Trial) -> float:
        # If another process has just taken the last one, Optuna makes a trial.
        if CONFIRMS not in trial.user_attrs:
            raise optuna.TrialPruned
        return objective(trial)

    def print_progress(_: optuna.Study, trial: FrozenTrial) -> None:
        if CONFIRMS in trial.user_attrs:
            click.echo(f"{describe_trial(trial)}; seed {trial.user_attrs[SEED]}")

    while count_trials(study, TrialState.WAITING):
        study.optimize(train_if_enqueued, n_trials=1, callbacks=[print_progress])


def describe_trial(trial: FrozenTrial) -> str:
    """Return the number of a trial that is done, how it ended, and its values."""
    number = trial.user_attrs.get(CONFIRMS, trial.number)
    if trial.state == TrialState.COMPLETE:
        outcome = f"{METRIC} {trial.value:.4f}"
    elif ERROR in trial.user_attrs:
        outcome = f"failed: {trial.user_attrs[ERROR]}"
    else:
        outcome = f"pruned after epoch {trial.last_step}"
    return f"Trial {number}: {outcome}, {format_values(trial.params)}"


def run_workers(
    sweep: Sweep, n_trials: int | None, workers: int, count_missing: Callable[[], int]
) -> None:
    """Run processes until no trial is missing. Replace those that end before.

    Args:
        sweep: the sweep.
        n_trials: see `work`.
        workers: the largest number of processes at once.
        count_missing: returns how many trials are missing.

    Raises:
        UserError: a process failed, or many were killed.
    """
    threads = max(1, (usable_cores() or 1) // workers)
    processes: list[BaseProcess] = []
    killed = 0
    try:
        while (missing := count_missing()) > 0 or processes:
            while len(processes) < min(workers, missing):
                processes.append(start_worker(sweep, n_trials, threads))
            wait([process.sentinel for process in processes])
            for process in [process for process in processes if not process.is_alive()]:
                processes.remove(process)
                killed += check_exit(process)
            if killed > MAX_KILLED:
                raise UserError(
                    f"{killed} workers were killed. If memory is short, use fewer --workers. "
                    "The same command continues the sweep."
                )
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def start_worker(sweep: Sweep, n_trials: int | None, threads: int) -> BaseProcess:
    """Start a process that Ctrl-C does not reach. The command terminates it, with one message."""
    # TensorFlow cannot be used after a fork. A daemon ends with this process.
    process = multiprocessing.get_context("spawn").Process(
        target=work, args=(sweep, n_trials, threads), daemon=True
    )
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a new process inherits
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
    return process


def check_exit(process: BaseProcess) -> bool:
    """Return whether a process that has ended was killed.

    Raises:
        UserError: it failed.
    """
    status = process.exitcode or 0
    if status > 0:
        raise UserError("A worker failed, see above. The same command continues the sweep.")
    if status < 0:
        name = signal.Signals(-status).name
        click.echo(f"A worker was killed by {name}. Its trial is repeated later.")
    return status < 0
