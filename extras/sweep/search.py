"""Let processes of this machine train the trials of a study, until all of them have ended.

Optuna's storage has all that is known of the trials. The command may therefore be killed at any
time, and commands on several machines share the work.
"""

import multiprocessing
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from extras.common.threads import threads_per_process
from extras.sweep.space import format_values
from extras.sweep.study import (
    ERROR,
    count_startable_trials,
    counted_trials,
    ended_trials,
    enqueue_missing,
    first_number,
    requeue_lost_trials,
    values_of,
)
from extras.sweep.trial import Sweep, run_worker
from sentiment.errors import UserError

POLL_SECONDS = 1.0
MAX_FAILURES = 7  # of processes in a row, without a trial that ended


def train_all(
    sweep: Sweep,
    study: optuna.Study,
    workers: int,
    n_trials: int = 0,
    wanted: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Train until a study has this many trials, and one with each of the wanted values.

    Print a line for each trial that finishes, wherever it was trained.

    Args:
        workers: number of processes on this machine, which share its cores.
        n_trials: number of trials that draw their values.
        wanted: values, by dotted name, of each trial that draws none.

    Raises:
        UserError: process after process failed.
    """
    threads = threads_per_process(workers)
    shown = {trial.number for trial in ended_trials(study)}
    seen: set[int] = set()
    failures = 0
    with worker_processes() as processes:
        while True:
            requeue_lost_trials(study, seen)
            enqueue_missing(study, wanted)
            all_ended = ended_trials(study)
            total = max(n_trials, len(counted_trials(study)))
            for trial in all_ended:
                if trial.number not in shown:
                    shown.add(trial.number)
                    failures = 0
                    line = describe_trial(trial, sweep.config.metric)
                    print(f"{line}; {len(all_ended)} of {total}", flush=True)
            if len(all_ended) >= total:
                return
            for process in [process for process in processes if not process.is_alive()]:
                processes.remove(process)
                failures += bool(process.exitcode)
            if failures >= MAX_FAILURES:
                raise UserError(
                    f"{failures} processes in a row failed. Fix what the lines above say, and run "
                    "`make sweep` again. It continues from here."
                )
            running = sum(trial.state == TrialState.RUNNING for trial in counted_trials(study))
            starting = max(0, len(processes) - running)
            for _ in range(
                min(count_startable_trials(study, n_trials) - starting, workers - len(processes))
            ):
                # TensorFlow cannot be used after a fork. A daemon ends with this process.
                process = multiprocessing.get_context("spawn").Process(
                    target=run_worker,
                    args=(sweep, study.study_name, n_trials, threads),
                    daemon=True,
                )
                start_without_sigint(process)
                processes.append(process)
            time.sleep(POLL_SECONDS)


def start_without_sigint(process: BaseProcess) -> None:
    """Start a process that Ctrl-C does not interrupt: this one terminates it, with one message."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which a new process inherits
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def worker_processes() -> Iterator[list[BaseProcess]]:
    """Yield a list for processes, and wait until they have ended. Terminate them after an error."""
    processes: list[BaseProcess] = []
    try:
        yield processes
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.join()


def describe_trial(trial: FrozenTrial, metric: str) -> str:
    """Return the number of a trial that ended, how it ended, and its values."""
    if trial.state == TrialState.COMPLETE:
        outcome = f"{metric} {trial.value:.4f}"
    elif ERROR in trial.user_attrs:
        outcome = f"failed: {trial.user_attrs[ERROR]}"
    else:
        outcome = "pruned"
    return f"Trial {first_number(trial)}: {outcome}, {format_values(values_of(trial))}"
