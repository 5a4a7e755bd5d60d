"""A trial of a sweep: a training as in the stage `train`, with a run in MLflow, without files.

It never sees the test set.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optuna
from mlflow import MlflowClient
from mlflow.entities import Param
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from sentiment.backend import load_keras
from sentiment.data.padded import fitted_length, pad_in_chunks, shuffle_orders
from sentiment.errors import UserError
from sentiment.model.batches import Split, train_validation_split
from sentiment.model.fitting import fit_to_table
from sentiment.model.training import DivergedError, Training, make_deterministic
from sentiment.params import AnyModel, Params
from sentiment.project.files.params_file import changed_params
from sentiment.project.training.progress import show_epochs
from sentiment.sweep.space import suggest
from sentiment.terminal import show
from sentiment.text.reviews import Reviews
from sentiment.tracking import address, runs

METRIC = "val_accuracy"  # of the epoch whose weights are kept
SPACE_FILE = "sentiment/sweep/space.py"
SIGNIFICANT_DIGITS = 6
PARENT = "mlflow.parentRunId"  # MLflow's tag of a child run


class Sweep(NamedTuple):
    """What all trials of a process have in common.

    Attributes:
        client: the client of MLflow's store.
        experiment_id: the experiment of the runs.
        parent_id: the run of the sweep.
        params: the params in params.yaml.
        reviews: the training set.
        vectors: the word vectors in data/pad, shape (num_words, size), if there are any.
    """

    client: MlflowClient
    experiment_id: str
    parent_id: str
    params: Params
    label_count: int
    reviews: Reviews
    vectors: NDArray[np.float32] | None


def objective(sweep: Sweep, trial: optuna.Trial) -> float:
    """Train a trial in a run of its own, and return `METRIC`.

    Raises:
        TrialPruned: others were better after as many epochs, or the values cannot be trained.
        StoreError: MLflow's store failed.
    """
    draw(sweep, trial)
    show(f"Trial {trial.number}: {', '.join(f'{k} {v}' for k, v in values_of(trial).items())}")
    try:
        section, splits, length = prepare(sweep, trial)
    except UserError as error:
        show(str(error))
        raise optuna.TrialPruned from None
    with address.store_errors():
        run_id = runs.create_run(
            sweep.client, sweep.experiment_id, f"trial {trial.number}", {PARENT: sweep.parent_id}
        )
        sweep.client.log_batch(
            run_id, params=[Param(name, str(value)) for name, value in values_of(trial).items()]
        )
    with runs.active_run(run_id):
        load_keras().utils.clear_session()  # otherwise the models of earlier trials stay in memory
        make_deterministic(sweep.params.seed)
        layout = section.layout(length)
        training = Training(section, layout, sweep.label_count, *splits, sweep.vectors)
        try:
            training.fit(
                after_epoch(sweep, trial, training, run_id),
                [show_epochs(section.epochs, training.batches)],
            )
        except (optuna.TrialPruned, DivergedError) as error:
            if isinstance(error, DivergedError):
                show(str(error))
            ended_early = True
        else:
            ended_early = False
    if ended_early:
        sweep.client.set_terminated(run_id, "KILLED")
        raise optuna.TrialPruned
    return training.metrics[METRIC]


def draw(sweep: Sweep, trial: optuna.Trial) -> None:
    """Draw the values of a trial, whose names are those of its params."""
    training = sweep.params.training
    is_fitted = sweep.params.fetch.dataset == "table" and training.section.min_steps > 0
    suggest(trial, training, is_fitted, sweep.label_count)


def present_values(sweep: Sweep) -> dict[str, Any]:
    """Return the values in params.yaml of the params that are searched."""
    trial = optuna.create_study().ask()
    draw(sweep, trial)
    present = sweep.params.training.logged()
    unknown = trial.params.keys() - present.keys()
    if unknown:
        raise UserError(
            f"{SPACE_FILE} suggests {', '.join(sorted(unknown))}, but {sweep.params.model} has "
            f"these params: {', '.join(present)}"
        )
    return {name: present[name] for name in trial.params}


def values_of(trial: optuna.Trial | FrozenTrial) -> dict[str, Any]:
    """Return the values of a trial, with the digits that people write."""
    return {
        name: float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
        for name, value in trial.params.items()
    }


def prepare(sweep: Sweep, trial: optuna.Trial) -> tuple[AnyModel, tuple[Split, Split], int]:
    """Return what a trial is trained with: section, splits and the length of a row.

    They are those of the stages `pad` and `train`, without the test set.

    Raises:
        UserError: a value is not allowed.
    """
    values = {f"{sweep.params.model}.{name}": value for name, value in values_of(trial).items()}
    section = changed_params(sweep.params, values, SPACE_FILE).training.section
    lengths = sweep.reviews.lengths
    is_table = sweep.params.fetch.dataset == "table"
    length = fitted_length(section.max_length, lengths) if is_table else section.max_length
    order, _ = shuffle_orders(len(sweep.reviews), 0)
    x = pad_in_chunks(sweep.reviews, order, section.layout(length))
    splits = train_validation_split(x, sweep.reviews.labels[order], section.validation_split)
    if is_table:
        section = fit_to_table(section, len(splits[0].y), float(np.median(lengths)))
    return section, splits, length


def after_epoch(
    sweep: Sweep, trial: optuna.Trial, training: Training, run_id: str
) -> Callable[[], None]:
    """Return the function that reports an epoch to MLflow and to Optuna."""

    def report() -> None:
        with address.store_errors():
            runs.log_epochs(sweep.client, run_id, training.history)
        epoch = len(training.epoch_metrics)
        trial.report(training.epoch_metrics[-1][METRIC], epoch)
        if trial.should_prune() and not training.is_done:
            raise optuna.TrialPruned

    return report
