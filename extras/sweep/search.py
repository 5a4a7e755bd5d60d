"""Train the trials of a sweep, together with other processes."""

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial

import click
import mlflow
import optuna
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from extras.common.operations import connect_operations
from extras.sweep.storage import (
    GRACE_SECONDS,
    HEARTBEAT_SECONDS,
    hide_lost_heartbeats,
    open_study,
)
from extras.sweep.study import (
    DONE,
    ENDED,
    METRIC,
    best_trials,
    count_done,
    describe_trials,
    fail_lost_trials,
    running_numbers,
    study_name,
)
from extras.sweep.trial import TrialContext, end_lost_runs, objective, started_run
from extras.sweep.values import SPACE_FILE, fixed_params
from sentiment.errors import UserError
from sentiment.params import Params
from tracking import runs, store
from workflow import paths, provenance
from workflow.arrays import read_reviews
from workflow.inputs import FetchInputs, read_inputs
from workflow.params_file import PARAMS_FILE
from workflow.paths import FETCH_FOLDER
from workflow.stage import SignalFlag

SWEEP_DATABASE = "sweeps.db"  # in the project's root
KEY = "sweep.key"  # tag of a parent run: name of the study
TABLE = "best.txt"


def open_sweep(params: Params, storage: str | None) -> optuna.Study:
    """Open the study of these params and the current space, training set and code.

    Args:
        params: the params that the sweep starts from.
        storage: URL of a database. None: that in the root.

    Raises:
        UserError: the space is not valid, or `data/fetch` is not of these params.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the command prints lines of its own
    fixed = fixed_params(params)
    if read_inputs(FETCH_FOLDER, FetchInputs).fetch != params.fetch.used():
        raise UserError(
            f"{FETCH_FOLDER} has other reviews than {PARAMS_FILE}. Run `dvc repro fetch`."
        )
    return open_study(storage or f"sqlite:///{paths.root() / SWEEP_DATABASE}", study_name(fixed))


def search(study: optuna.Study, params: Params, n_trials: int) -> None:
    """Train trials until a study has as many that are done, and log them to MLflow.

    Raises:
        UserError: see `extras.sweep.trial.objective`.
        KeyboardInterrupt: a signal came.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it would warn of every new model
    threading.excepthook = hide_lost_heartbeats
    flag = SignalFlag()
    flag.watch()
    before = running_numbers(study)
    lost_by = time.monotonic() + GRACE_SECONDS + HEARTBEAT_SECONDS
    experiment = connect_operations()
    tags = provenance.provenance_tags(provenance.uncommitted_changes())
    with store.store_errors(), parent_run(experiment, study.study_name, params, tags) as parent:
        click.echo(store.run_url(experiment, parent.info.run_id))
        reviews = read_reviews(FETCH_FOLDER, "train")
        label_count = len(read_inputs(FETCH_FOLDER, FetchInputs).label_names)
        context = TrialContext(params, label_count, reviews, flag, tags)
        train_trials(study, context, n_trials)
        fail_lost_trials(study, before, lost_by, flag)
        end_lost_runs(experiment, study)
        mlflow.log_artifact(SPACE_FILE)
        mlflow.log_artifact(str(PARAMS_FILE))
        mlflow.log_text(f"{describe_trials(best_trials(study))}\n", TABLE)


def parent_run(
    experiment: str, name: str, params: Params, tags: Mapping[str, str]
) -> AbstractContextManager[mlflow.ActiveRun]:
    """Start or resume the parent run of a study.

    Args:
        experiment: the id of its experiment.
        name: the name of the study.
        params: the params that the sweep starts from.
        tags: further tags.
    """
    found = runs.find_runs(experiment, {KEY: name})
    return started_run(
        run_id=found[0].info.run_id if found else None,
        run_name=name.replace("-", " "),
        tags={KEY: name, **tags},
        description=f"A sweep on `{params.fetch.dataset_name}`. Its trials are the runs below it.",
    )


def train_trials(study: optuna.Study, context: TrialContext, n_trials: int) -> None:
    """Train trials until a study has as many that are done.

    Raises:
        UserError: see `extras.sweep.trial.objective`.
        KeyboardInterrupt: a signal came.
    """

    def print_outcome(study: optuna.Study, trial: FrozenTrial) -> None:
        click.echo(f"Trial {trial.number}: {outcome(trial)}; {count_done(study)} of {n_trials}")
        if context.flag.received is not None:
            study.stop()

    if count_done(study) < n_trials:  # MaxTrialsCallback counts only after a trial
        study.optimize(
            partial(objective, context),
            callbacks=[MaxTrialsCallback(n_trials, states=DONE), print_outcome],
        )
    if context.flag.received is not None:
        raise KeyboardInterrupt


def outcome(trial: FrozenTrial) -> str:
    """Return how a trial ended."""
    if trial.state == TrialState.COMPLETE:
        return f"{METRIC} {trial.value:.4f}"
    return str(trial.user_attrs[ENDED])
