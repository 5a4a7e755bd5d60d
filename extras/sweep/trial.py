"""A trial: a training that neither reads nor writes `data/`, as a child of its sweep's run.

It trains as the stage `train` does: the same model, path, seeds and batches, with a checkpoint
after each epoch. It never sees the test set.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from extras.common.run_groups import PARENT, as_text
from extras.sweep import space, study
from extras.sweep.study import ERROR, FAILURES, PASSING, VALUES
from extras.sweep.sweep import Sweep, settings_of
from sentiment.backend import load_keras, usable_cores
from sentiment.errors import RunningError, StoreError
from sentiment.network.batches import split
from sentiment.network.model import inputs_of
from sentiment.network.state import Progress, Trained
from sentiment.network.training import Training, summarize
from sentiment.padding import layout, shuffled
from sentiment.text import Reviews, pad
from workflow.ending import explain
from workflow.params_file import changed
from workflow.runs import identity, lifecycle, store
from workflow.runs.identity import fingerprint, run_name
from workflow.runs.logger import RunLogger
from workflow.runs.training_run import FORMAT, resume, training_run

if TYPE_CHECKING:
    import optuna

# attributes of a trial: its MLflow run, the key of its checkpoints, the metrics by epoch, and how
# many cores it was trained on
RUN, KEY, HISTORY, CORES = "run", "key", "history", "cores"
THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's own variable: how many it computes with
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
    order, _ = shuffled(len(reviews), 0, params.pad.shuffle_seed)
    x, y = pad(reviews, order, layout(params.pad)), reviews.labels[order]
    learning, validation = split(x, y, params.train.validation_split)
    inputs = inputs_of(settings_used, len(learning.y))
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
    sweep: Sweep, reviews: Reviews, begun: Callable[[], object], trial: "optuna.Trial"
) -> float:
    """Train a trial; return the metric of its kept epoch. Why it failed is noted in the study.

    `begun` is called once the trial has its values: it waits no longer, and others may propose.

    Raises:
        optuna.TrialPruned: others were better after as many epochs.
        Exception: the values do not go together, the training diverged, or a store failed.
    """
    import optuna

    values: dict[str, Any] = {}
    try:
        with study.as_user_error():
            values = trial.user_attrs.get(VALUES) or space.draw(trial, sweep.options.space)
            begun()
            trained = train(sweep, *prepare(sweep, reviews, values), trial)
            return summarize(trained)[sweep.options.metric]
    except Stopped as stopped:
        raise optuna.TrialPruned(str(stopped)) from None
    except Exception as error:
        note_failure(error, sweep, values, trial)
        raise


def note_failure(
    error: Exception, sweep: Sweep, values: Mapping[str, Any], trial: "optuna.Trial"
) -> None:
    """Note why a trial failed, for Optuna and, if that will not pass, for MLflow.

    Otherwise wait a moment: a store that is down meanwhile would fail all trials.
    """
    why = explain(error, "`make sweep`") or repr(error)
    passing = isinstance(error, StoreError | OSError | RunningError)
    trial.set_user_attr(ERROR, why)
    trial.set_user_attr(PASSING, passing)
    if not passing:
        log_failure(sweep, values, trial, why)
        return
    if not isinstance(error, RunningError):  # which passes as soon as the other one has ended
        trial.set_user_attr(FAILURES, trial.user_attrs.get(FAILURES, 0) + 1)
    time.sleep(study.PAUSE_SECONDS)


@store.tolerating_errors("Why the trial failed is not logged to MLflow")
@study.as_user_error()
def log_failure(sweep: Sweep, values: Mapping[str, Any], trial: "optuna.Trial", why: str) -> None:
    """Tag the trial's run with the reason; make one where it never began."""
    import mlflow
    from mlflow.entities import Param

    experiment_id, client = store.connect(), mlflow.MlflowClient()
    run_id = trial.user_attrs.get(RUN)
    if not run_id:
        tags = {**sweep.tags, PARENT: sweep.run_id}
        run = client.create_run(experiment_id, tags=tags, run_name=f"trial {trial.number}")
        run_id = run.info.run_id
        client.set_terminated(run_id, "FAILED")
        client.log_batch(run_id, params=[Param(*pair) for pair in as_text(values).items()])
        trial.set_user_attr(RUN, run_id)
    client.set_tag(run_id, FAILED, why)


def train(
    sweep: Sweep, settings_used: Mapping[str, Any], training: Training, trial: "optuna.Trial"
) -> Trained:
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
    trial.set_user_attr(KEY, key)
    trial.set_user_attr(CORES, int(os.environ.get(THREADS) or 0) or usable_cores() or 1)

    def after_epoch(progress: Progress) -> None:
        number = len(progress.rows)
        trial.set_user_attr(HISTORY, progress.rows)
        trial.report(progress.rows[-1][metric], number)
        if number < training.params.epochs and trial.should_prune():
            why = f"others were better after epoch {number}"
            run.log.tags({PRUNED: why})
            require_store(run.log)
            raise Stopped(why)

    name = run_name(training.params, settings_used, f"trial {trial.number}")
    with training_run(name, settings_used, tags, with_model=False) as run:
        run.log.consequence = "Logging to MLflow stops here, the trial is tried again"
        if not run.log.lost:  # else no store has the run
            take_run(run.log.run.run_id, trial)
        run.log.tags({"train.path": training.path})
        trained = resume(run, training, after_epoch, show=False)
        require_store(run.log)
    return trained


def take_run(run_id: str, trial: "optuna.Trial") -> None:
    """Note a trial's run; end and delete another one that it had, of which nothing comes.

    A trial begins anew, with a run of its own, where its checkpoints are not: on another machine,
    or with another number of threads.
    """
    import mlflow

    before = trial.user_attrs.get(RUN)
    if before not in (None, run_id):
        with store.as_user_error():
            experiment_id, client = store.connect(), mlflow.MlflowClient()
            run = store.find_run(client, experiment_id, before)
            if run and run.info.status != "FINISHED":
                client.set_terminated(before, "KILLED")
                client.delete_run(before)
        trial.set_user_attr(HISTORY, [])
    trial.set_user_attr(RUN, run_id)


def require_store(log: RunLogger) -> None:
    """Raise StoreError where the store has failed: tried again, the trial logs what it lacks."""
    if log.lost:
        raise StoreError("MLflow failed meanwhile. What the run lacks is logged when tried again.")
