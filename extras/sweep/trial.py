"""A trial: a training that neither reads nor writes `data/`, as a child of its sweep's run.

It trains as the stage `train` does: the same model, path, seeds and batches, with a checkpoint
after each epoch. It never sees the test set.
"""

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import optuna

from extras.common.cluster import THREADS
from extras.common.run_groups import PARENT
from extras.sweep import space, study
from extras.sweep.study import ERROR, PASSING, VALUES
from extras.sweep.sweep import Sweep, about_training
from sentiment.backend import load_keras
from sentiment.errors import AlreadyRunningError, StoreError, first_line
from sentiment.network.batches import train_validation_split
from sentiment.network.inputs import model_inputs
from sentiment.network.progress import NO_PROGRESS, Progress, TrainingResult, history_frame
from sentiment.network.training import Training, training_metrics
from sentiment.padding import layout, shuffle_orders
from sentiment.tokenizer import Reviews, pad
from workflow import checkpoints, provenance, tracking
from workflow.about import AboutTrain
from workflow.checkpoints import Checkpoint, TrainingStart
from workflow.outputs import TRAINING_KEY, RunRecord
from workflow.params_file import with_changes
from workflow.terminal import user_message
from workflow.tracking import LiveRun, Run

# Attributes of a trial: the id of its MLflow run, and the key of its checkpoint.
RUN = "run"
KEY = "key"
# Tags of a run: why its trial was stopped early, or failed.
PRUNED = "sweep.pruned"
FAILED = "sweep.error"
REMEDY = "the trial is tried again"


class Stopped(BaseException):
    """A trial is pruned. This is not an `Exception`, so that its run ends as KILLED."""


def prepare(
    sweep: Sweep, reviews: Reviews, values: Mapping[str, Any]
) -> tuple[AboutTrain, Training]:
    """Return what a training with these values depends on, and the training.

    Raises:
        UserError: the values do not go together.
    """
    params = with_changes(sweep.params, values)
    order, _ = shuffle_orders(len(reviews), 0, params.pad.shuffle_seed)
    x = pad(reviews, order, layout(params.pad))
    y = reviews.labels[order]
    train_split, val_split = train_validation_split(x, y, params.train.validation_split)
    inputs = model_inputs(params.pad, params.train, len(train_split.y))
    with own_seeds(params.train.seed):
        training = Training(params.train, inputs, train_split, val_split)
    return about_training(sweep.dataset, params), training


@contextmanager
def own_seeds(seed: int) -> Iterator[None]:
    """In the block, let Keras draw the seeds of its layers where no other thread draws.

    It draws them from Python's global generator, and so do other threads of a Dask worker: what
    `keras.utils.set_random_seed` set would be lost now and then.
    """
    load_keras()  # which quiets TensorFlow's start, as a plain import does not
    from keras.src.random import seed_generator

    before = seed_generator.python_random
    seed_generator.python_random = random.Random(seed)
    try:
        yield
    finally:
        seed_generator.python_random = before


def objective(
    sweep: Sweep, reviews: Reviews, begun: Callable[[], object], trial: optuna.Trial
) -> float:
    """Train a trial; return the metric of its kept epoch. Why it failed is noted in the study.

    `begun` is called once the trial has its values: it waits no longer, and others may propose.
    One that was taken for dead waits here for the process that trains it still.

    Raises:
        optuna.TrialPruned: others were better after as many epochs.
        Exception: the values do not go together, the training diverged, or a store failed.
    """
    try:
        drawn = partial(space.draw, trial, sweep.options.space)
        values = trial.user_attrs.get(VALUES) or study.patiently(drawn)
        begun()
        trained = study.patiently(lambda: train(sweep, *prepare(sweep, reviews, values), trial))
        return training_metrics(trained)[sweep.options.metric]
    except Stopped as stopped:
        raise optuna.TrialPruned(str(stopped)) from None
    except Exception as error:
        note_failure(error, trial)
        raise


def note_failure(error: Exception, trial: optuna.Trial) -> None:
    """Note why a trial failed: for Optuna and, if the trial has a run, for MLflow."""
    why = user_message(error, "`make sweep`") or repr(error)
    trial.set_user_attr(PASSING, isinstance(error, StoreError | OSError | AlreadyRunningError))
    trial.set_user_attr(ERROR, why)
    if run_id := trial.user_attrs.get(RUN):
        try:
            tracking.log_tags(tracking.get_run(run_id), {FAILED: why})
        except (StoreError, OSError) as store_error:
            message = f"Why the trial failed is not logged to MLflow: {first_line(store_error)}"
            print(message, file=sys.stderr, flush=True)


def train(
    sweep: Sweep, about: AboutTrain, training: Training, trial: optuna.Trial
) -> TrainingResult:
    """Train or resume a trial in its own run. Report each epoch to Optuna.

    Raises:
        Stopped: others were better after as many epochs.
        UserError: the training diverged, or a store failed.
    """
    machine_tags = provenance.machine_tags()
    key = checkpoint_key(sweep, about, machine_tags, trial)
    keys = {key, trial.user_attrs.get(KEY, key)}
    trial.set_user_attr(KEY, key)
    with checkpoints.exclusive_checkpoint(key) as checkpoint:
        tags = {
            **sweep.tags,
            **machine_tags,
            "train.path": training.path,
            TRAINING_KEY: key,
            PARENT: sweep.run_id,
        }
        record = describe_run(about, trial, checkpoint.start, tags)
        with tracking.live_run(record, about.flat_params(), REMEDY) as live_run:
            take_run(require_run(live_run), keys, trial)
            result = resume(training, checkpoint, live_run, sweep.options.metric, trial)
            tracking.end_run(require_run(live_run), "FINISHED")
    return result


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
            "sweep": sweep.run_id,
            "trial": study.first_number(trial),
            "format": checkpoints.FORMAT,
        }
    )


def describe_run(
    about: AboutTrain, trial: optuna.Trial, start: TrainingStart, tags: dict[str, str]
) -> RunRecord:
    """Describe a trial for MLflow."""
    return RunRecord(
        training_id=start.training_id,
        name=provenance.run_name(about.train, about.pad, about.dataset, f"trial {trial.number}"),
        started=start.time,
        tags=tags,
        datasets=[],
        uncommitted="",
    )


def take_run(run: Run, keys: set[str], trial: optuna.Trial) -> None:
    """Note the run of a trial, and delete former runs of its keys, which nobody will complete.

    A trial without a checkpoint starts again, with a run of its own: on another machine, or with
    another number of threads. The former run may have been killed before it was noted.
    """
    for key in keys:
        tracking.delete_other_runs(run, TRAINING_KEY, key)
    trial.set_user_attr(RUN, run.run_id)


def resume(
    training: Training,
    checkpoint: Checkpoint,
    live_run: LiveRun,
    metric: str,
    trial: optuna.Trial,
) -> TrainingResult:
    """Train from the checkpoint on.

    Raises:
        Stopped: others were better after as many epochs.
        UserError: the training diverged, or a store failed.
    """
    progress = NO_PROGRESS
    if checkpoint.state:
        progress = training.restore(checkpoint.state)
        print(f"Resuming after epoch {len(progress.epochs)} of trial {trial.number}", flush=True)
        live_run.log_epochs(history_frame(progress.epochs))  # the last may not be logged yet

    def after_epoch(progress: Progress) -> None:
        checkpoint.write(training.capture(progress))
        live_run.log_epochs(history_frame(progress.epochs))
        epoch = len(progress.epochs)
        trial.report(progress.epochs[-1][metric], epoch)
        if epoch < training.params.epochs and trial.should_prune():
            why = f"others were better after epoch {epoch}"
            tracking.log_tags(require_run(live_run), {PRUNED: why})
            raise Stopped(why)

    return training.fit(progress, after_epoch, verbose=False)


def require_run(live_run: LiveRun) -> Run:
    """Return the run of a trial. Tried again, the trial logs what its run lacks.

    Raises:
        StoreError, OSError: the tracking store failed.
    """
    if live_run.store_error:
        raise live_run.store_error
    assert live_run.run is not None  # as no error has prevented it
    return live_run.run
