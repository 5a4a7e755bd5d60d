"""A trial: a training that neither reads nor writes `data/`, as a child of its sweep's run.

It trains as the stage `train` does: the same model, path, seeds and batches, with a checkpoint
after each epoch. It never sees the test set.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import optuna
from workflow.ending import explain
from workflow.runs.identity import fingerprint, run_name
from workflow.runs.logger import Run, RunLogger
from workflow.runs.training_run import FORMAT, resume, training_run

from extras.common.run_groups import PARENT
from extras.sweep import space, study
from extras.sweep.study import ERROR, PASSING, VALUES
from extras.sweep.sweep import Sweep, settings_of
from sentiment.backend import load_keras
from sentiment.errors import AlreadyRunningError, StoreError
from sentiment.network.batches import train_validation_split
from sentiment.network.model import model_inputs
from sentiment.network.progress import Progress, TrainingResult
from sentiment.network.training import Training, training_metrics
from sentiment.padding import layout, shuffle_orders
from sentiment.tokenizer import Reviews, pad
from workflow.params_file import changed
from workflow.runs import identity, lifecycle, store

RUN, KEY = "run", "key"  # attributes of a trial: its MLflow run, and the key of its checkpoints
# tags of a run: why its trial ended early, or failed
PRUNED, FAILED = "sweep.pruned", "sweep.error"


class Stopped(BaseException):
    """Ends a trial before its time; it is no failure, so that its run ends as KILLED."""


def prepare(
    sweep: Sweep, reviews: Reviews, values: Mapping[str, Any]
) -> tuple[dict[str, Any], Training]:
    """All that shapes a training with these values, by dotted names, and the training itself.

    Raises:
        UserError: the values do not go together.
    """
    params = changed(sweep.params, values)
    settings_used = settings_of(sweep.data, params)
    order, _ = shuffle_orders(len(reviews), 0, params.pad.shuffle_seed)
    x, y = pad(reviews, order, layout(params.pad)), reviews.labels[order]
    learning, validation = train_validation_split(x, y, params.train.validation_split)
    inputs = model_inputs(params.pad, params.train, len(learning.y))
    with own_seeds(params.train.seed):
        return settings_used, Training(params.train, inputs, learning, validation)


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
    """Note why a trial failed, for Optuna and, where it has a run, for MLflow."""
    import mlflow

    why = explain(error, "`make sweep`") or repr(error)
    trial.set_user_attr(PASSING, isinstance(error, StoreError | OSError | AlreadyRunningError))
    trial.set_user_attr(ERROR, why)
    if run_id := trial.user_attrs.get(RUN):
        with store.tolerating_errors("Why the trial failed is not logged to MLflow"):
            store.connect()
            mlflow.MlflowClient().set_tag(run_id, FAILED, why)


def train(
    sweep: Sweep, settings_used: Mapping[str, Any], training: Training, trial: optuna.Trial
) -> TrainingResult:
    """Train, or resume, in the trial's own run, and tell Optuna how it goes.

    Raises:
        Stopped: others were better after as many epochs.
        UserError: the training diverged, or a store failed.
    """
    computed_by, metric = identity.describe(), sweep.options.metric
    shaped = {"params": settings_used, "code": sweep.code, "machine": computed_by}
    # trials that drew the same values have checkpoints of their own
    own = {"sweep": sweep.run_id, "trial": study.first_number(trial), "checkpoints": FORMAT}
    key = fingerprint({**shaped, **own})
    tags = {**sweep.tags, **computed_by, lifecycle.KEY: key, PARENT: sweep.run_id}
    keys = {key, trial.user_attrs.get(KEY, key)}
    trial.set_user_attr(KEY, key)

    def after_epoch(progress: Progress) -> None:
        number = len(progress.epochs)
        trial.report(progress.epochs[-1][metric], number)
        if number < training.params.epochs and trial.should_prune():
            why = f"others were better after epoch {number}"
            run.log.tags({PRUNED: why})
            require_store(run.log)
            raise Stopped(why)

    name = run_name(training.params, settings_used, f"trial {trial.number}")
    with training_run(name, settings_used, tags, with_model=False) as run:
        run.log.consequence = "Logging to MLflow stops here, the trial is tried again"
        if not run.log.lost:  # else no store has the run
            take_run(run.log.run, keys, trial)
        run.log.tags({"train.path": training.path})
        trained = resume(run, training, after_epoch, show=False)
        require_store(run.log)
    return trained


def take_run(run: Run, keys: Iterable[str], trial: optuna.Trial) -> None:
    """Note a trial's run; delete others of its keys, of which nothing comes.

    A trial begins anew, with a run of its own, where its checkpoints are not: on another machine,
    or with another number of threads. The run before may have been killed before it was noted.
    """
    import mlflow

    client = mlflow.MlflowClient()
    with store.as_user_error():
        for key in keys:
            same = f"tags.`{lifecycle.KEY}` = '{key}'"
            for other in client.search_runs([run.experiment_id], same):
                if other.info.run_id != run.run_id:
                    client.delete_run(other.info.run_id)
    trial.set_user_attr(RUN, run.run_id)


def require_store(log: RunLogger) -> None:
    """Raise StoreError where the store has failed: tried again, the trial logs what it lacks."""
    if log.lost:
        raise StoreError("MLflow failed meanwhile. What the run lacks is logged when tried again.")
