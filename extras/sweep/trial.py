"""A trial: a training that neither reads nor writes `data/`, as a child run of its sweep.

It trains as the stage `train` does: the same model, path, seeds and batches, with a checkpoint
after each epoch. It never sees the test set.
"""

import logging
import multiprocessing
import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import optuna
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from extras.common.parent_runs import PARENT
from extras.common.threads import THREADS
from extras.sweep import space
from extras.sweep.config import SweepConfig
from extras.sweep.study import (
    ERROR,
    VALUES,
    SurplusError,
    check_trial_is_needed,
    count_startable_trials,
    first_number,
    open_study,
    seeded_sampler,
    storage_errors,
)
from sentiment.data.params import Dataset
from sentiment.errors import AlreadyRunningError, StoreError
from sentiment.network.batches import train_validation_split
from sentiment.network.inputs import model_inputs
from sentiment.network.progress import Progress
from sentiment.network.training import Training, training_metrics
from sentiment.padding import layout, pad_in_chunks, shuffle_orders
from sentiment.tokenizer import Reviews
from workflow import checkpoints, provenance, tracking
from workflow.about import AboutTrain
from workflow.checkpoints import TrainingStart
from workflow.commands import Interrupted, exit_with_message
from workflow.files import FETCH, read_reviews
from workflow.outputs import TRAINING_KEY, RunRecord
from workflow.params import Params
from workflow.params_file import with_changes
from workflow.resume import train_or_resume
from workflow.terminal import user_message
from workflow.tracking import LiveRun, Run

TRIALS_A_PROCESS = 20  # TensorFlow keeps 30 to 150 MB of each training until its process ends
CHECKPOINT_KEY = "key"  # attribute of a trial: the key of its checkpoint
# Tags of a run: why its trial ended early.
PRUNED = "sweep.pruned"
FAILED = "sweep.error"
REMEDY = "The trial is repeated from its last checkpoint."
# After these errors the same values may work: a store, the disk or the database failed.
RETRYABLE_ERRORS = (StoreError, OSError, AlreadyRunningError, OptunaError, SQLAlchemyError)


class Sweep(NamedTuple):
    """A sweep, without secrets.

    Attributes:
        name: name of the study that searches.
        run_id: id of the parent run.
        params: the params that the sweep starts from.
        dataset: the dataset of the reviews.
        code: SHA-256 of the modules that a training depends on, by path.
        tags: tags of every child run.
    """

    name: str
    run_id: str
    params: Params
    config: SweepConfig
    dataset: Dataset
    code: dict[str, str]
    tags: dict[str, str]


class Stopped(BaseException):
    """A trial is pruned. This is not an `Exception`, so its run ends as KILLED, not as FAILED."""


def run_worker(sweep: Sweep, name: str, n_trials: int, threads: int) -> None:
    """Train trials of a study until enough have started. This is the main function of a process.

    Args:
        name: name of the study.
        n_trials: number of trials that the study is to have.
        threads: number of threads that TensorFlow uses for an operation.
    """
    os.environ.setdefault(THREADS, str(threads))
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # else it warns of every new model
    with exit_with_message("make sweep", "`make sweep`"):
        try:
            with storage_errors():
                study = open_study(name, sweep.config)
                train_trials(study, sweep, read_reviews(FETCH, "train"), n_trials)
        except (Interrupted, KeyboardInterrupt):
            sys.exit(1)  # quietly: the command prints the message


def train_trials(study: optuna.Study, sweep: Sweep, reviews: Reviews, n_trials: int) -> None:
    """Train trials of a study in this process until enough have started.

    Raises:
        StoreError, OSError: a store or the disk failed. The trial waits again.
    """

    def after_trial(study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.state != TrialState.FAIL and CHECKPOINT_KEY in trial.user_attrs:
            checkpoints.remove_checkpoint(trial.user_attrs[CHECKPOINT_KEY])
        if not count_startable_trials(study, n_trials):
            study.stop()

    # Others may have taken all of them while this process started.
    if count_startable_trials(study, n_trials):
        study.optimize(
            partial(objective, study, sweep, reviews, n_trials),
            n_trials=TRIALS_A_PROCESS,
            catch=(SurplusError,),
            callbacks=[after_trial],
        )


def objective(
    study: optuna.Study, sweep: Sweep, reviews: Reviews, n_trials: int, trial: optuna.Trial
) -> float:
    """Train a trial, and return the metric of its kept epoch.

    Raises:
        SurplusError: the trial is not needed.
        TrialPruned: others were better after as many epochs, or the values do not work.
        KeyboardInterrupt: a signal ended the process. Optuna notes that the trial failed, so it can
            be resumed at once.
        Exception: a store or the disk failed. The trial waits again.
    """
    check_trial_is_needed(study, trial, n_trials)
    # Optuna draws at the first `suggest`, since release 5, and so by this sampler.
    study.sampler = seeded_sampler(sweep.config, trial.number)
    try:
        values = trial.user_attrs.get(VALUES) or space.draw_values(trial, sweep.config.space)
        return train_trial(sweep, reviews, values, trial)
    except Stopped as stopped:
        raise optuna.TrialPruned(str(stopped)) from None
    except Interrupted as interrupted:
        raise KeyboardInterrupt from interrupted
    except UpdateFinishedTrialError:
        sys.exit(f"make sweep: trial {first_number(trial)} is resumed by another process.")
    except RETRYABLE_ERRORS:
        raise
    except Exception as error:
        trial.set_user_attr(ERROR, describe_error(error))
        raise optuna.TrialPruned from error


def describe_error(error: Exception) -> str:
    """Return why values do not work."""
    return user_message(error, "`make sweep`") or repr(error)


def train_trial(
    sweep: Sweep, reviews: Reviews, values: Mapping[str, Any], trial: optuna.Trial
) -> float:
    """Train or resume a trial in a run of its own, and return the metric of its kept epoch.

    Raises:
        Stopped: others were better after as many epochs.
        UserError: the values do not go together, or the training diverged.
        StoreError, OSError: a store or the disk failed.
    """
    params = with_changes(sweep.params, values)
    about = AboutTrain(dataset=sweep.dataset, pad=params.pad, train=params.train)
    order, _ = shuffle_orders(len(reviews), 0)
    x = pad_in_chunks(reviews, order, layout(params.pad))
    train_split, val_split = train_validation_split(
        x, reviews.labels[order], params.train.validation_split
    )
    inputs = model_inputs(params.pad, params.train, len(train_split.y))
    machine_tags = provenance.machine_tags()
    key = checkpoint_key(sweep, about, machine_tags, trial)
    trial.set_user_attr(CHECKPOINT_KEY, key)
    with checkpoints.exclusive_checkpoint(key) as checkpoint:
        will_restore = checkpoint.arrays is not None
        training = Training(params.train, inputs, train_split, val_split, will_restore)
        tags = {
            **sweep.tags,
            **machine_tags,
            "train.path": training.implementation,
            TRAINING_KEY: key,
            PARENT: sweep.run_id,
        }
        record = describe_run(about, trial, checkpoint.start, tags)
        with tracking.live_run(record, about.flat_params(), REMEDY) as live_run:
            report = EpochReport(trial, live_run, sweep.config.metric, params.train.epochs)
            try:
                result = train_or_resume(training, checkpoint, live_run, report, verbose=False)
            except RETRYABLE_ERRORS:
                raise
            except Exception as error:
                tracking.log_tags(require_run(live_run), {FAILED: describe_error(error)})
                raise
            tracking.end_run(require_run(live_run), "FINISHED")
    return training_metrics(result)[sweep.config.metric]


class EpochReport:
    """A callback that reports the epochs of a trial to Optuna, and stops what is to be pruned.

    The epochs of a checkpoint are reported again. A trial that was to be pruned when its process
    was killed is therefore pruned as soon as it is resumed.
    """

    def __init__(self, trial: optuna.Trial, live_run: LiveRun, metric: str, epochs: int) -> None:
        self.trial = trial
        self.live_run = live_run
        self.metric = metric
        self.epochs = epochs
        self.reported = 0

    def __call__(self, progress: Progress) -> None:
        """Report what is new.

        Raises:
            Stopped: others were better after as many epochs.
            KeyboardInterrupt: the command that started this process has ended.
        """
        for metrics in progress.epochs[self.reported :]:
            self.reported += 1
            self.trial.report(metrics[self.metric], self.reported)
            if self.reported < self.epochs and self.trial.should_prune():
                why = f"others were better after epoch {self.reported}"
                tracking.log_tags(require_run(self.live_run), {PRUNED: why})
                raise Stopped(why)
        command = multiprocessing.parent_process()
        if command and not command.is_alive():
            raise KeyboardInterrupt


def checkpoint_key(
    sweep: Sweep, about: AboutTrain, machine_tags: dict[str, str], trial: optuna.Trial
) -> str:
    """Return a digest of everything that the bits of a trial depend on.

    Trials that drew the same values have different keys.
    """
    return provenance.short_digest_of(
        {
            "params": about.model_dump(exclude={"files"}),
            "code": sweep.code,
            "machine": machine_tags,
            "threads": os.environ.get(THREADS),
            "study": trial.study.study_name,
            "trial": first_number(trial),
            "format": checkpoints.FORMAT,
        }
    )


def describe_run(
    about: AboutTrain, trial: optuna.Trial, start: TrainingStart, tags: dict[str, str]
) -> RunRecord:
    """Describe a trial for MLflow."""
    label = f"trial {first_number(trial)}"
    return RunRecord(
        training_id=start.training_id,
        name=provenance.run_name(about.train, about.pad, about.dataset, label),
        started=start.time,
        tags=tags,
        datasets=[],
        uncommitted="",
    )


def require_run(live_run: LiveRun) -> Run:
    """Return the run of a trial. A trial that is repeated logs what its run lacks.

    Raises:
        StoreError, OSError: the tracking store failed.
    """
    if live_run.store_error:
        raise live_run.store_error
    assert live_run.run is not None  # as no error has prevented it
    return live_run.run
