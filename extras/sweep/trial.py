"""A trial: a training as in the stage `train`, with a child run in MLflow, but without files.

It never sees the test set.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, NoReturn

import click
import mlflow
import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from extras.sweep.storage import StorageError
from extras.sweep.study import ENDED, METRIC, STARTED, running_numbers
from extras.sweep.values import draw_values, format_values, with_values
from sentiment.backend import load_keras
from sentiment.data.padded import pad_in_chunks, shuffle_orders
from sentiment.errors import StoreError, UserError
from sentiment.model.batches import Split, train_validation_split
from sentiment.model.training import Training
from sentiment.params import Params, flatten_used
from sentiment.text.reviews import Reviews
from tracking import runs, store
from workflow.naming import SEPARATOR, training_name
from workflow.presets import valid_presets
from workflow.stage import Interrupted, SignalFlag

# Tags of a child run
STUDY = "sweep.study"  # name of its study
TRIAL = "sweep.trial"  # its number there
ENDED_TAG = "sweep.ended"  # why it ended early


class TrialContext(NamedTuple):
    """The common part of all trials of this process.

    Attributes:
        params: the params that the sweep starts from.
        reviews: the training set.
        flag: the signals of this process.
        tags: further tags of a child run.
    """

    params: Params
    label_count: int
    reviews: Reviews
    flag: SignalFlag
    tags: Mapping[str, str]


def objective(context: TrialContext, trial: optuna.Trial) -> float:
    """Train a trial, and return `METRIC` of its kept epoch. If it is cut short, enqueue its values.

    Raises:
        TrialPruned: others were better after as many epochs, or the training diverged.
        UserError: a value is not allowed.
        StoreError: MLflow's store failed.
        KeyboardInterrupt: a signal came.
        StorageError: Optuna's storage failed.
    """
    try:
        return train_trial(context, trial)
    except (StorageInternalError, UpdateFinishedTrialError) as error:
        raise StorageError(error) from error
    except StoreError:
        trial.study.enqueue_trial(trial.params)
        raise
    except Interrupted:
        trial.study.enqueue_trial(trial.params)
        raise KeyboardInterrupt from None  # after which Optuna records that the trial failed


def train_trial(context: TrialContext, trial: optuna.Trial) -> float:
    """Train a trial in a child run, and return `METRIC` of its kept epoch."""
    values = draw_values(trial)
    params = with_values(context.params, values)
    trial.set_user_attr(STARTED, trial.number)
    click.echo(f"Trial {trial.number}: {format_values(values)}")
    with store.store_errors(), child_run(context, trial, params) as run:
        return fit(context, params, trial, run.info.run_id)


@contextmanager
def child_run(
    context: TrialContext, trial: optuna.Trial, params: Params
) -> Iterator[mlflow.ActiveRun]:
    """Start the run of a trial below the active run, log its params, and end it with the block."""
    name = training_name(valid_presets(), params.fetch, params.pad, params.train)
    with started_run(
        run_name=SEPARATOR.join([f"trial {trial.number}", name]),
        tags={**context.tags, STUDY: trial.study.study_name, TRIAL: str(trial.number)},
        nested=True,
    ) as run:
        mlflow.log_params(flatten_used(params.fetch, params.pad, params.train))
        yield run


@contextmanager
def started_run(**arguments: Any) -> Iterator[mlflow.ActiveRun]:
    """Start a run, and end it with the block. It is KILLED if the block was stopped.

    Args:
        arguments: see `mlflow.start_run`.
    """
    run = mlflow.start_run(**arguments)
    try:
        yield run
    except BaseException as error:
        is_stopped = isinstance(error, optuna.TrialPruned | Interrupted | KeyboardInterrupt)
        with suppress(Exception):  # the store may not work at all
            mlflow.end_run("KILLED" if is_stopped else "FAILED")
        raise
    mlflow.end_run()


def fit(context: TrialContext, params: Params, trial: optuna.Trial, run_id: str) -> float:
    """Train, report each epoch to MLflow and to Optuna, and return `METRIC` of the kept epoch."""
    load_keras().utils.clear_session()  # otherwise the models of earlier trials stay in memory
    train_split, val_split = split_reviews(params, context.reviews)
    training = Training(params.train, params.pad, context.label_count, train_split, val_split)

    def after_epoch() -> None:
        epoch = len(training.epochs)
        runs.log_epochs(run_id, training.history)
        trial.report(training.epochs[-1][METRIC], epoch)
        if not training.is_done and trial.should_prune():
            end_early(trial, f"others were better after epoch {epoch}")

    try:
        training.fit(after_epoch, [context.flag.callback()])
    except UserError as error:
        end_early(trial, str(error))
    return training.metrics[METRIC]


def split_reviews(params: Params, reviews: Reviews) -> tuple[Split, Split]:
    """Return the same splits as the stages `pad` and `train`, without the test set."""
    order, _ = shuffle_orders(len(reviews), 0)
    x = pad_in_chunks(reviews, order, params.pad.layout)
    return train_validation_split(x, reviews.labels[order], params.train.validation_split)


def end_early(trial: optuna.Trial, reason: str) -> NoReturn:
    """Record why a trial ends early.

    Raises:
        TrialPruned: always.
    """
    mlflow.set_tag(ENDED_TAG, reason)
    trial.set_user_attr(ENDED, reason)
    raise optuna.TrialPruned(reason)


def end_lost_runs(experiment: str, study: optuna.Study) -> None:
    """End the child runs of a study that a lost process has left RUNNING."""
    client = mlflow.MlflowClient()
    which = f"tags.`{STUDY}` = '{study.study_name}' AND attributes.status = 'RUNNING'"
    found = client.search_runs([experiment], which)
    running = running_numbers(study)
    for run in found:
        if int(run.data.tags[TRIAL]) in running:
            continue
        # A trial that has ended in the meantime has ended its run before.
        if client.get_run(run.info.run_id).info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
