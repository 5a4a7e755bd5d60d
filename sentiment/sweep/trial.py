"""A trial: a training as in the stage `train`, with a child run in MLflow, but without files.

It never sees the test set.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, NoReturn

import click
import mlflow
import optuna

from sentiment.backend import load_keras
from sentiment.data.padded import pad_in_chunks, shuffle_orders
from sentiment.errors import UserError
from sentiment.model.batches import Split, train_validation_split
from sentiment.model.training import Training, make_deterministic
from sentiment.params import Params, used_params
from sentiment.project.naming import SEPARATOR, training_name
from sentiment.project.paths import Project
from sentiment.sweep.study import METRIC, RUN_ID
from sentiment.sweep.values import draw_values, format_values, with_values
from sentiment.text.reviews import Reviews
from sentiment.tracking import runs, store

# Tags of a child run
TRIAL = "sweep.trial"  # its number in the study
PRUNED = "sweep.pruned"  # why it was pruned


class TrialContext(NamedTuple):
    """The common part of all trials of this process.

    Attributes:
        project: the project, which has the presets that name the trials.
        client: the client of MLflow's store.
        experiment: the id of the experiment of the runs.
        params: the params that the sweep starts from.
        reviews: the training set.
        tags: further tags of a child run.
    """

    project: Project
    client: mlflow.MlflowClient
    experiment: str
    params: Params
    label_count: int
    reviews: Reviews
    tags: Mapping[str, str]


def objective(context: TrialContext, trial: optuna.Trial) -> float:
    """Train a trial in a child run, and return `METRIC` of its kept epoch.

    Raises:
        TrialPruned: others were better after as many epochs, or the training diverged.
        UserError: a value is not allowed.
        StoreError: MLflow's store failed.
    """
    values = draw_values(trial)
    params = with_values(context.params, values)
    click.echo(f"Trial {trial.number}: {format_values(values)}")
    with store.store_errors(), child_run(context, trial, params) as run:
        return fit(context, params, trial, run.info.run_id)


@contextmanager
def child_run(
    context: TrialContext, trial: optuna.Trial, params: Params
) -> Iterator[mlflow.ActiveRun]:
    """Start the run of a trial below the active run, log its params, and end it with the block."""
    name = training_name(context.project, params.fetch, params.pad, params.train)
    with started_run(
        experiment_id=context.experiment,
        run_name=SEPARATOR.join([f"trial {trial.number}", name]),
        tags={**context.tags, TRIAL: str(trial.number)},
        nested=True,
    ) as run:
        trial.set_user_attr(RUN_ID, run.info.run_id)
        mlflow.log_params(used_params(params.fetch, params.pad, params.train))
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
        is_stopped = isinstance(error, optuna.TrialPruned | KeyboardInterrupt)
        with suppress(Exception):  # the store may not work at all
            mlflow.end_run("KILLED" if is_stopped else "FAILED")
        raise
    mlflow.end_run()


def fit(context: TrialContext, params: Params, trial: optuna.Trial, run_id: str) -> float:
    """Train, report each epoch to MLflow and to Optuna, and return `METRIC` of the kept epoch."""
    load_keras().utils.clear_session()  # otherwise the models of earlier trials stay in memory
    train_split, val_split = split_reviews(params, context.reviews)

    def after_epoch() -> None:
        epoch = len(training.epoch_metrics)
        runs.log_epochs(context.client, run_id, training.history)
        trial.report(training.epoch_metrics[-1][METRIC], epoch)
        if not training.is_done and trial.should_prune():
            prune(f"others were better after epoch {epoch}")

    make_deterministic(params.train.seed)
    try:
        training = Training(params.train, params.pad, context.label_count, train_split, val_split)
        training.fit(after_epoch)
    except UserError as error:  # no feature fits the params, or the training diverged
        prune(str(error))
    return training.metrics[METRIC]


def split_reviews(params: Params, reviews: Reviews) -> tuple[Split, Split]:
    """Return the same splits as the stages `pad` and `train`, without the test set."""
    order, _ = shuffle_orders(len(reviews), 0)
    x = pad_in_chunks(reviews, order, params.pad.layout)
    return train_validation_split(x, reviews.labels[order], params.train.validation_split)


def prune(reason: str) -> NoReturn:
    """Say why a trial is pruned.

    Raises:
        TrialPruned: always.
    """
    mlflow.set_tag(PRUNED, reason)
    click.echo(f"Pruned: {reason}")
    raise optuna.TrialPruned(reason)
