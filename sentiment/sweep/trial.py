"""A trial: a training as in the stage `train`, with a child run in MLflow, but without files.

It never sees the test set.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

import click
import mlflow
import numpy as np
import optuna
from mlflow.entities import Param
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from sentiment.backend import load_keras
from sentiment.data.padded import fitted_length, pad_in_chunks, shuffle_orders
from sentiment.errors import UserError
from sentiment.model.batches import Split, train_validation_split
from sentiment.model.fitting import fit_to_table
from sentiment.model.training import Training, make_deterministic
from sentiment.params import Params, used_fetch_params
from sentiment.project.naming import SEPARATOR, training_name
from sentiment.project.params_file import changed_params
from sentiment.project.paths import Project
from sentiment.sweep.study import (
    METRIC,
    PRESENT,
    REFUSED,
    SPACE_FILE,
    VALUES,
    draw_values,
    named_values,
)
from sentiment.text.padding import Layout
from sentiment.text.reviews import Reviews
from sentiment.tracking import address, runs

TRIAL = "sweep.trial"  # tag of a child run: the number of the trial


class RefusedError(Exception):
    """The params of a trial cannot be trained. The sweep continues."""


class TrialContext(NamedTuple):
    """The common part of all trials of this process.

    Attributes:
        project: the project, whose last commit names the trials.
        client: the client of MLflow's store.
        experiment_id: the experiment of the child runs.
        params: the params in params.yaml.
        vectors: the word vectors in data/pad, shape (num_words, size), if there are any.
        reviews: the training set.
        tags: tags of a child run.
    """

    project: Project
    client: mlflow.MlflowClient
    experiment_id: str
    params: Params
    label_count: int
    vectors: NDArray[np.float32] | None
    reviews: Reviews
    tags: Mapping[str, str]


def objective(context: TrialContext, trial: optuna.Trial) -> float:
    """Train a trial in a child run, and return `METRIC` of its kept epoch.

    Raises:
        TrialPruned: others were better after as many epochs.
        RefusedError: a value is not allowed, no feature fits the params, or the training diverged.
        StoreError: MLflow's store failed.
    """
    values = trial.user_attrs.get(VALUES)  # of the present params, or of a lost trial
    if values is None:
        values = draw_values(trial, context.params)
        trial.set_user_attr(VALUES, values)
    shown = ", ".join(f"{name}={value}" for name, value in values.items())
    click.echo(f"Trial {trial.number}: {shown}")
    try:
        params = changed_params(context.params, named_values(context.params, values), SPACE_FILE)
        run_id = start_child(context, trial, params)
        with ending_run(context.client, run_id):
            return fit(context, params, trial, run_id)
    except address.StoreError:
        raise
    except UserError as error:
        trial.set_user_attr(REFUSED, str(error))
        raise RefusedError from error


def start_child(context: TrialContext, trial: optuna.Trial, params: Params) -> str:
    """Start the run of a trial, log its params, and return its id."""
    name = training_name(context.project, params.training)
    used = used_fetch_params(params.fetch) | params.training.logged()
    with address.store_errors():
        run = context.client.create_run(
            context.experiment_id,
            tags={**context.tags, TRIAL: str(trial.number)},
            run_name=SEPARATOR.join([f"trial {trial.number}", name]),
        )
        logged = [Param(key, str(value)) for key, value in used.items()]
        context.client.log_batch(run.info.run_id, params=logged)
    return str(run.info.run_id)


@contextmanager
def ending_run(client: mlflow.MlflowClient, run_id: str) -> Iterator[None]:
    """End a run with the block: FINISHED, KILLED if it was pruned or interrupted, or FAILED."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, address.StoreError | KeyboardInterrupt):
            address.try_only_once()
        is_killed = isinstance(error, optuna.TrialPruned | KeyboardInterrupt)
        with suppress(Exception):  # the error that has ended the block is the one to show
            client.set_terminated(run_id, "KILLED" if is_killed else "FAILED")
        raise
    with address.store_errors():
        client.set_terminated(run_id)


def fit(context: TrialContext, params: Params, trial: optuna.Trial, run_id: str) -> float:
    """Train, report each epoch to MLflow and to Optuna, and return `METRIC` of the kept epoch."""
    load_keras().utils.clear_session()  # otherwise the models of earlier trials stay in memory

    def after_epoch() -> None:
        epoch = len(training.epoch_metrics)
        with address.store_errors():
            runs.log_epochs(context.client, run_id, training.history)
        trial.report(training.epoch_metrics[-1][METRIC], epoch)
        is_worse = trial.should_prune()
        # The present params are trained to their end: other trials are compared with them.
        if is_worse and not training.is_done and not trial.user_attrs.get(PRESENT):
            raise optuna.TrialPruned(f"others were better after epoch {epoch}")

    section = params.training.section
    lengths = context.reviews.lengths
    length = section.max_length
    if params.fetch.dataset == "table":
        length = fitted_length(section.max_length, lengths)
    layout = section.layout(length)
    splits = split_reviews(layout, section.validation_split, context.reviews)
    if params.fetch.dataset == "table":
        section = fit_to_table(section, len(splits[0].y), float(np.median(lengths)))
    make_deterministic(params.seed)
    training = Training(section, layout, context.label_count, *splits, context.vectors)
    training.fit(after_epoch)
    return training.metrics[METRIC]


def split_reviews(layout: Layout, share: float, reviews: Reviews) -> tuple[Split, Split]:
    """Return the same splits as the stages `pad` and `train`, without the test set."""
    order, _ = shuffle_orders(len(reviews), 0)
    x = pad_in_chunks(reviews, order, layout)
    return train_validation_split(x, reviews.labels[order], share)


def describe_trial(trial: FrozenTrial) -> str:
    """Return how a trial ended, with its numbers."""
    if trial.state == TrialState.COMPLETE:
        return f"Trial {trial.number}: {METRIC} {trial.value:.4f}"
    if trial.state == TrialState.PRUNED:
        epoch = trial.last_step
        value = trial.intermediate_values[epoch]
        return (
            f"Trial {trial.number}: pruned after epoch {epoch}, {METRIC} {value:.4f}, because "
            "others were better"
        )
    return f"Trial {trial.number} failed: {trial.user_attrs[REFUSED]}"
