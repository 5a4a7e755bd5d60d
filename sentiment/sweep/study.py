"""The study of a sweep, which Optuna keeps in a database that all processes share.

If a process is lost, its trial has no heartbeat any more. Optuna then fails the trial, and enqueues
its values again.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import click
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.pruners import SuccessiveHalvingPruner
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from sentiment.errors import UserError, first_line
from sentiment.params import Params, used_fetch_params
from sentiment.project.digests import file_digests, short_digest
from sentiment.project.dvc import stage_dependencies
from sentiment.project.params_file import PARAMS
from sentiment.project.paths import VECTORS, Project
from sentiment.project.provenance import is_code
from sentiment.sweep import space
from sentiment.tracking import address

METRIC = "val_accuracy"  # of the kept epoch
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 30  # a trial without a heartbeat for this long is lost
MAX_RETRIES = 3  # of the values of a lost trial, which may need too much memory
# Successive halving: after MIN_EPOCHS epochs, one in REDUCTION_FACTOR trials continues, for
# REDUCTION_FACTOR times as many epochs, and so on.
MIN_EPOCHS = 1
REDUCTION_FACTOR = 3
# Attributes of a trial
VALUES = "values"  # of its params, by dotted name
PRESENT = "present"  # it has the params in params.yaml
REFUSED = "refused"  # why its params cannot be trained
BEST = "best"  # in place of a trial's number: the best trial
SHOWN_TRIALS = 4  # fit 80 columns
SPACE_FILE = "sentiment/sweep/space.py"
# The first three would change the validation texts, the space and the word vectors in data/pad. A
# searched seed is only a lucky one.
NOT_SEARCHED = ("validation_split", "architecture", "vectors", "seed", "model")
SIGNIFICANT_DIGITS = 6


def searchable_params(params: Params) -> dict[str, Any]:
    """Return the params of the section that is trained, by dotted name."""
    not_searched = {*NOT_SEARCHED}
    if params.vectors:  # the vectors in data/pad are those of this vocabulary
        not_searched.add("num_words")
    read = params.training.logged()
    return {name: value for name, value in read.items() if name not in not_searched}


def space_of(params: Params) -> str:
    """Return the name of the space that is searched, see `sentiment.sweep.space.SPACES`."""
    architecture = params.training.section.architecture
    if architecture == "recurrent" and params.vectors:
        return "recurrent with vectors"
    return architecture


def searched_distributions(params: Params) -> dict[str, BaseDistribution]:
    """Return the distributions of the space by the dotted names of the params.

    Raises:
        UserError: the space is not valid.
    """
    architecture = params.training.section.architecture
    trial = optuna.create_study().ask()
    try:
        space.draw(trial, space_of(params))
    except (KeyError, ValueError) as error:  # such as a lower bound above the upper one
        raise UserError(f"{SPACE_FILE} is not valid for {architecture}: {error}") from None
    wrong = trial.params.keys() - searchable_params(params).keys()
    if wrong:
        raise UserError(
            f"{SPACE_FILE} is not valid: {', '.join(sorted(wrong))} cannot be searched. The params "
            f"of {architecture} that can be: {', '.join(searchable_params(params))}"
        )
    return dict(trial.distributions)


def draw_values(trial: optuna.Trial, params: Params) -> dict[str, Any]:
    """Draw the values of a trial by dotted name, with the digits that people write."""
    space.draw(trial, space_of(params))
    return {
        name: float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
        for name, value in trial.params.items()
    }


def named_values(params: Params, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a trial by the names that they have in params.yaml."""
    return {f"{params.model}.{name}": value for name, value in values.items()}


def study_name(
    project: Project, params: Params, distributions: Mapping[str, BaseDistribution]
) -> str:
    """Return a name with a digest of all that the trials of a sweep have in common.

    These are the params that are not searched, the space, the training set, the word vectors and
    the code.
    """
    values = used_fetch_params(params.fetch) | params.training.logged()
    fixed = {name: value for name, value in values.items() if name not in distributions}
    dependencies = stage_dependencies(project)
    code = {path for stage in ("pad", "train") for path in dependencies[stage] if is_code(path)}
    data = [*project.fetched.glob("train_*.npy")]
    if params.vectors:
        data.append(project.padded / f"{VECTORS}.npy")
    listed = [*(project.folder / path for path in code), project.folder / SPACE_FILE, *data]
    digests = file_digests(listed, project.folder / ".dvcignore")
    return f"sweep-{short_digest(json.dumps([fixed, digests], sort_keys=True))}"


def open_study(url: str, name: str) -> optuna.Study:
    """Open a study in a database. Create both if they do not exist.

    Raises:
        StoreError: the database is MLflow's, or one of another Optuna.
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
        raise address.StoreError(
            "The database of the sweeps cannot be used: it has tables of something else, such as "
            "MLflow.\nName another one, which is empty at first, with --storage."
        ) from None
    return optuna.create_study(
        study_name=name,
        storage=storage,
        pruner=SuccessiveHalvingPruner(MIN_EPOCHS, REDUCTION_FACTOR),
        direction="maximize",
        load_if_exists=True,
    )


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn errors of Optuna's storage into a `StoreError`."""
    try:
        yield
    except (SQLAlchemyError, OptunaError, ImportError) as error:
        raise address.StoreError(
            f"The database of the sweeps cannot be used: {first_line(error.__cause__ or error)}\n"
            "Fix it, or name another one with --storage, and run the same command again."
        ) from error


def find_present(study: optuna.Study, params: Params, *states: TrialState) -> FrozenTrial | None:
    """Return a trial that has the values in params.yaml, or None."""
    present = searchable_params(params).items()
    for trial in study.get_trials(deepcopy=False, states=states):
        if VALUES in trial.user_attrs and trial.user_attrs[VALUES].items() <= present:
            return trial
    return None


def enqueue_present(
    study: optuna.Study, params: Params, distributions: Mapping[str, BaseDistribution]
) -> None:
    """Enqueue the values in params.yaml as the next trial, unless a trial has them."""
    if find_present(study, params, TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING):
        return
    values = {name: searchable_params(params)[name] for name in distributions}
    attributes = {VALUES: values, PRESENT: True}
    waiting = partial(create_trial, state=TrialState.WAITING, user_attrs=attributes)
    try:
        trial = waiting(params=values, distributions={**distributions})
    except ValueError as error:
        click.echo(f"{PARAMS} is outside the space, but is trained all the same: {error}")
        trial = waiting()  # Optuna learns nothing from this one
    study.add_trial(trial)


def ended_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were trained to their end, pruned or refused."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state in DONE or REFUSED in trial.user_attrs]


def describe_counts(study: optuna.Study) -> str:
    """Return how many trials were trained to their end, were pruned, and failed."""
    ended = ended_trials(study)
    trained = sum(trial.state == TrialState.COMPLETE for trial in ended)
    pruned = sum(trial.state == TrialState.PRUNED for trial in ended)
    return f"{trained} trained, {pruned} pruned, {len(ended) - trained - pruned} failed"


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the best trials that were trained to their end, the best one first."""
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(completed, key=lambda trial: -float(trial.value))[:SHOWN_TRIALS]


def find_trial(study: optuna.Study, number: str) -> FrozenTrial:
    """Return the trial of this number, or the best one, which must be trained to its end or pruned.

    Args:
        number: a number, or `BEST`.

    Raises:
        UserError: there is no such trial.
    """
    if number == BEST:
        found = best_trials(study)
    else:
        done = study.get_trials(deepcopy=False, states=DONE)
        found = [trial for trial in done if str(trial.number) == number]
    if not found:
        raise UserError(
            f"{study.study_name} has no trial {number} that is done. `sentiment sweep` shows the "
            "best ones, and `sentiment sweep --trials 20` trains some."
        )
    return found[0]


def describe_trials(study: optuna.Study) -> str:
    """Return a table of the best trials: a column for each, with `METRIC` and the values."""
    trials = best_trials(study)
    if not trials:
        return "No trial was trained to its end yet."
    columns = {
        str(trial.number): {METRIC: f"{trial.value:.4f}", **trial.user_attrs[VALUES]}
        for trial in trials
    }
    table = pd.DataFrame(columns).map(str, na_action="ignore").rename_axis(columns="trial")
    return str(table.to_string(na_rep=""))
