"""A trial: a training that neither reads nor writes `data/`, as a child of its sweep's run.

It trains as the stage `train` does: the same model, path, seeds and batches, with a checkpoint
after each epoch. It never sees the test set.
"""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from extras.common.run_groups import PARENT, as_text
from extras.sweep import space, study
from extras.sweep.study import ERROR, FAILURES, PASSING, VALUES
from extras.sweep.sweep_options import SweepOptions
from sentiment.backend import load_keras, usable_cores
from sentiment.errors import RunningError, StoreError
from sentiment.network.batches import Part, split
from sentiment.network.model import inputs_of
from sentiment.network.state import Progress, Trained
from sentiment.network.training import Training, summarize
from sentiment.padding import layout, shuffled
from sentiment.section import flatten
from sentiment.text import Reviews, pad
from workflow.ending import explain
from workflow.params import Params
from workflow.params_file import changed
from workflow.runs import identity, lifecycle, store
from workflow.runs.identity import fingerprint, run_name
from workflow.runs.logger import RunLogger
from workflow.runs.training_run import FORMAT, TrainingRun, resume, training_run

if TYPE_CHECKING:
    import optuna

# attributes of a trial: its MLflow run, the key of its checkpoints, the metrics by epoch, and the
# number that it had before it was tried again
RUN, KEY, HISTORY, FIRST = "run", "key", "history", "first"
THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's own variable: how many it computes with
CORES = "cores"  # attribute of a trial: how many it was trained on
WHY = "why"  # attribute of a trial: what it was pruned for
# tags of a run: why its trial ended early, or failed
PRUNED, FAILED = "sweep.pruned", "sweep.error"


class Stopped(BaseException):
    """Ends a trial before its time; it is no failure, so that its run ends as KILLED."""


class Task(NamedTuple):
    """What all trials of a sweep share: small and without secrets, since it is sent to workers.

    Attributes:
        params: those that the search starts from.
        options: what is searched, and how.
        data: the params that the reviews depend on, by dotted names.
        reviews: SHA-256 of the training part, as `fetch` wrote it.
        code: digests of the code that shapes a training, by path.
        tags: what leads back from a run to code and sweep.
        parent: id of the sweep's MLflow run.
        tracking_uri: of the store that has it, for workers elsewhere.
    """

    params: Params
    options: SweepOptions
    data: Mapping[str, Any]
    reviews: str
    code: Mapping[str, str]
    tags: Mapping[str, str]
    parent: str
    tracking_uri: str


class Job(NamedTuple):
    """A training of a sweep.

    Attributes:
        params: its params.
        settings_used: everything that shapes it, by dotted names.
        learning: what is trained on.
        validation: what is validated on.
    """

    params: Params
    settings_used: dict[str, Any]
    learning: Part
    validation: Part


def padded(reviews: Reviews, params: Params) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Token ids and labels of the training part, as the stage `pad` makes them."""
    order, _ = shuffled(len(reviews), 0, params.pad.shuffle_seed)
    return pad(reviews, order, layout(params.pad)), reviews.labels[order]


def job_of(task: Task, reviews: Reviews, values: Mapping[str, Any]) -> Job:
    """The training on these reviews with these values.

    Raises:
        UserError: they do not go together.
    """
    params = changed(task.params, values)
    settings_used = {**task.data, **flatten(params.pad, "pad"), **flatten(params.train, "train")}
    parts = split(*padded(reviews, params), params.train.validation_split)
    return Job(params, settings_used, *parts)


def objective(
    task: Task, reviews: Reviews, begun: Callable[[], object], trial: "optuna.Trial"
) -> float:
    """Train a trial; return the metric of its kept epoch.

    Args:
        task: what all trials share.
        reviews: the training part.
        begun: called once it has its values: it is no longer waiting, and others may propose.
        trial: what Optuna proposes.

    Raises:
        optuna.TrialPruned: others were better after as many epochs.
        Exception: the values do not go together, the training diverged, or a store failed.
    """
    import optuna

    values: dict[str, Any] = {}
    try:
        with study.as_user_error():
            values = trial.user_attrs.get(VALUES) or space.draw(trial, task.options.space)
            begun()
            trained = train(job_of(task, reviews, values), task, trial)
            return summarize(trained)[task.options.metric]
    except Stopped as stopped:
        raise optuna.TrialPruned(str(stopped)) from None
    except Exception as error:
        note_failure(error, task, values, trial)
        raise


def note_failure(
    error: Exception, task: Task, values: Mapping[str, Any], trial: "optuna.Trial"
) -> None:
    """Note why a trial failed, for Optuna and, if that will not pass, for MLflow."""
    why = explain(error, "`make sweep`") or repr(error)
    passing = isinstance(error, StoreError | OSError | RunningError)
    trial.set_user_attr(ERROR, why)
    trial.set_user_attr(PASSING, passing)
    if not passing:
        with (
            store.tolerating_errors("Why the trial failed is not logged to MLflow"),
            study.as_user_error(),
        ):
            log_failure(task, values, trial, why)
    elif not isinstance(error, RunningError):  # which passes as soon as the other one has ended
        trial.set_user_attr(FAILURES, trial.user_attrs.get(FAILURES, 0) + 1)


def log_failure(task: Task, values: Mapping[str, Any], trial: "optuna.Trial", why: str) -> None:
    """Tag the trial's run with the reason; without one, since it never began, make one of it."""
    import mlflow
    from mlflow.entities import Param

    experiment_id, client = store.connect(), mlflow.MlflowClient()
    run_id = trial.user_attrs.get(RUN)
    if not run_id:
        tags = {**task.tags, PARENT: task.parent}
        begun = client.create_run(experiment_id, tags=tags, run_name=f"trial {trial.number}")
        run_id = begun.info.run_id
        client.set_terminated(run_id, "FAILED")
        client.log_batch(run_id, params=[Param(*pair) for pair in as_text(values).items()])
        trial.set_user_attr(RUN, run_id)
    client.set_tag(run_id, FAILED, why)


def train(job: Job, task: Task, trial: "optuna.Trial") -> Trained:
    """Train, or resume, in the trial's own run."""
    computed_by = identity.describe()
    shaped = {"params": job.settings_used, "code": dict(task.code), "machine": computed_by}
    own = {"sweep": task.parent, "trial": first_number(trial), "checkpoints": FORMAT}
    key = fingerprint({**shaped, **own})
    tags = {**task.tags, **computed_by, lifecycle.KEY: key, PARENT: task.parent}
    trial.set_user_attr(KEY, key)
    trial.set_user_attr(CORES, int(os.environ.get(THREADS) or 0) or usable_cores() or 1)
    name = run_name(job.params.train, job.settings_used, f"trial {trial.number}")
    before = trial.user_attrs.get(RUN)
    pruned = before if WHY in trial.user_attrs else None  # its run could not be told
    with training_run(name, job.settings_used, tags, with_model=False, run_id=pruned) as run:
        run.log.consequence = "Logging to MLflow stops here, the trial is tried again"
        begin(run.log, trial, before)
        with own_seeds(job.params.train.seed):
            inputs = inputs_of(job.settings_used, len(job.learning.y))
            training = Training(job.params.train, inputs, job.learning, job.validation)
        run.log.tags({"train.path": training.path})
        metric, epochs = task.options.metric, job.params.train.epochs
        trained = resume_trial(run, training, metric, epochs, trial)
        require_store(run.log)
    return trained


def begin(log: RunLogger, trial: "optuna.Trial", before: str | None) -> None:
    """Note a trial's run, and delete that of which nothing comes.

    A trial begins anew where its checkpoints are not: on another machine, or with another number of
    threads. A run of its own keeps it from curves of which each half is of another training.
    """
    if log.lost:  # no store has the run
        return
    if before not in (None, log.run.run_id):
        delete_unfinished(before)
        trial.set_user_attr(HISTORY, [])
    trial.set_user_attr(RUN, log.run.run_id)


def delete_unfinished(run_id: str) -> None:
    """End and delete a run of which nothing comes; MLflow keeps it among the deleted ones."""
    import mlflow

    with store.as_user_error():
        experiment_id, client = store.connect(), mlflow.MlflowClient()
        run = store.find_run(client, experiment_id, run_id)
        if run and run.info.status != "FINISHED":
            client.set_terminated(run_id, "KILLED")
            client.delete_run(run_id)


def require_store(log: RunLogger) -> None:
    """Raise StoreError where the store has failed, so that the trial is tried again.

    Its checkpoint has all epochs: tried again, it has nothing to train and logs what its run lacks.
    """
    if log.lost:
        raise StoreError("MLflow failed meanwhile. What the run lacks is logged when tried again.")


def prune(why: str, log: RunLogger) -> NoReturn:
    """End a trial before its time, or raise StoreError where its run cannot be told."""
    log.tags({PRUNED: why})
    require_store(log)
    raise Stopped(why)


def first_number(trial: "optuna.Trial") -> int:
    """The number of a trial, or of the first one whose place it takes and whose attributes it has.

    By it trials that drew the same values have checkpoints of their own.
    """
    first = int(trial.user_attrs.get(FIRST, trial.number))
    trial.set_user_attr(FIRST, first)
    return first


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


def resume_trial(
    run: TrainingRun, training: Training, metric: str, epochs: int, trial: "optuna.Trial"
) -> Trained:
    """Train from the newest checkpoint on, or from the beginning, and tell Optuna how it goes.

    Raises:
        Stopped: others were better after as many epochs.
        UserError: the training diverged.
    """

    def at_start(progress: Progress) -> None:
        for number, row in enumerate(progress.rows, 1):
            trial.report(row[metric], number)
        if WHY in trial.user_attrs:  # pruned before, when its run could not be told
            prune(trial.user_attrs[WHY], run.log)

    def after_epoch(progress: Progress) -> None:
        number = len(progress.rows)
        trial.set_user_attr(HISTORY, progress.rows)
        trial.report(progress.rows[-1][metric], number)
        if number < epochs and trial.should_prune():
            why = f"others were better after epoch {number}"
            trial.set_user_attr(WHY, why)
            prune(why, run.log)

    return resume(run, training, after_epoch, at_start, show=False)
