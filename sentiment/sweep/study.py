"""The study of a sweep, which Optuna keeps in a database that all processes share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import NormalDist

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from sentiment.errors import UserError, first_line
from sentiment.evaluation.intervals import CONFIDENCE, wilson_interval
from sentiment.model.batches import train_validation_split
from sentiment.project.files.digests import folder_digest
from sentiment.project.files.paths import Project
from sentiment.sweep.trials import values_of
from sentiment.terminal import show
from sentiment.tracking.address import StoreError

HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 30  # a trial without a heartbeat for this long is lost
MAX_RETRIES = 3  # of a lost trial, which may need too much memory
DATA = "data"  # attribute of a study: the digest of the training set
LIKELY_ACCURACY = 0.8  # before there is a trial
WIDE_INTERVAL = 0.04


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn errors of Optuna's storage into a `StoreError`."""
    try:
        yield
    except (SQLAlchemyError, OptunaError, ImportError) as error:
        raise StoreError(
            f"The database of the sweeps cannot be used: {first_line(error.__cause__ or error)}\n"
            "Fix it, or name another one with --storage, and run the same command again."
        ) from error


def open_study(url: str, name: str, project: Project) -> optuna.Study:
    """Open a study in a database. Create both if they do not exist.

    Raises:
        StoreError: the database is MLflow's, or of another Optuna.
        UserError: the trials of this study have other texts.
    """
    warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats, since Optuna 2.9
    try:
        storage = RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
        )
    except RuntimeError:  # says that Optuna is too old
        raise StoreError(
            "The database of the sweeps cannot be used: it has tables of something else, such as "
            "MLflow.\nName another one, which is empty at first, with --storage."
        ) from None
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
        direction="maximize",
        load_if_exists=True,
    )
    digest = folder_digest(project.fetched)
    if study.user_attrs.get(DATA, digest) != digest:
        raise UserError(
            f"The trials of {name} have other texts than data/fetch. Begin another sweep: --study "
            "NAME"
        )
    study.set_user_attr(DATA, digest)
    return study


def show_trial(study: optuna.Study, trial: FrozenTrial) -> None:
    """Print how a trial ended."""
    if trial.intermediate_values:
        reported = trial.intermediate_values[max(trial.intermediate_values)]
        value = trial.value if trial.value is not None else reported
        show(f"Trial {trial.number} {trial.state.name}: val_accuracy {value:.4f}")
    if completed(study):
        best = study.best_trial
        show(f"{describe_counts(study)}; best: trial {best.number}, {best.value:.4f}")


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were trained to their end."""
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return trials


def describe_counts(study: optuna.Study) -> str:
    """Return how many trials there are in each state."""
    counts = {
        state.name.lower(): len(study.get_trials(deepcopy=False, states=(state,)))
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def count_validation_texts(texts: int, share: float) -> int:
    """Return how many of the training texts are in the validation set."""
    labels = np.zeros(texts, np.uint8)
    return len(train_validation_split(labels, labels, share)[1].y)


def describe_precision(study: optuna.Study, texts: int, share: float) -> str:
    """Say how precise the validation accuracy is, and what would help if it is not."""
    accuracy = study.best_value if completed(study) else LIKELY_ACCURACY
    validation = count_validation_texts(texts, share)
    width = 2 * NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    width *= (accuracy * (1 - accuracy)) ** 0.5
    points = 100 * width / validation**0.5
    line = (
        f"{validation:,} validation texts: the {CONFIDENCE:.0%} interval of an accuracy of "
        f"{accuracy:.2f} is {points:.1f} points wide."
    )
    if points <= 100 * WIDE_INTERVAL:
        return line
    wanted = (width / WIDE_INTERVAL) ** 2 / texts
    if wanted > 0.5:
        return f"{line}\nSo only large gains are real. More texts would help."
    return f"{line}\nSo only large gains are real. validation_split: {wanted:.2f} would help."


def describe_best(best: FrozenTrial, texts: int) -> str:
    """Return the best trial with its validation accuracy, its interval and its values."""
    low, high = wilson_interval(round(best.value * texts), texts, CONFIDENCE)
    lines = [
        f"The best is trial {best.number}: val_accuracy {best.value:.4f} on {texts:,} validation "
        f"texts, {CONFIDENCE:.0%} interval {low:.4f} to {high:.4f}",
        *(f"  {name}: {value}" for name, value in values_of(best).items()),
    ]
    return "\n".join(lines)


def find_trial(study: optuna.Study, number: str) -> FrozenTrial:
    """Return the trial of this number, which must have ended.

    Raises:
        UserError: there is no such trial.
    """
    found = [trial for trial in study.trials if str(trial.number) == number and trial.params]
    if not found:
        raise UserError(f"{study.study_name} has no trial {number} with values.")
    return found[0]
