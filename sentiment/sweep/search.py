"""Train the trials of a sweep, together with other processes."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial

import click
import mlflow
import optuna
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial

from sentiment.errors import UserError
from sentiment.params import Params
from sentiment.project import paths, provenance
from sentiment.project.arrays import read_reviews
from sentiment.project.manifest import FetchManifest, read_manifest
from sentiment.project.params_file import PARAMS_FILE
from sentiment.project.paths import FETCH_FOLDER
from sentiment.sweep.study import (
    DONE,
    METRIC,
    best_trials,
    count_done,
    describe_trials,
    open_study,
    study_name,
)
from sentiment.sweep.trial import TrialContext, objective, started_run
from sentiment.sweep.values import SPACE_FILE, fixed_params
from sentiment.tracking import runs, store
from sentiment.tracking.operations import connect_operations

SWEEP_DATABASE = "sweeps.db"  # in the project's root
SWEEP = "sweep.name"  # tag of a parent run: name of the study
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
    if read_manifest(FETCH_FOLDER, FetchManifest).fetch != params.fetch.used():
        raise UserError(
            f"{FETCH_FOLDER} has other reviews than {PARAMS_FILE}. Run `dvc repro fetch`."
        )
    return open_study(storage or f"sqlite:///{paths.root() / SWEEP_DATABASE}", study_name(fixed))


def search(study: optuna.Study, params: Params, n_trials: int) -> None:
    """Train trials until a study has as many that are done, and log them to MLflow.

    Raises:
        UserError: see `sentiment.sweep.trial.objective`.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it would warn of every new model
    experiment = connect_operations()
    tags = provenance.provenance_tags(provenance.uncommitted_changes())
    with store.store_errors(), parent_run(experiment, study.study_name, params, tags) as parent:
        click.echo(store.describe_run(experiment, parent.info.run_id))
        reviews = read_reviews(FETCH_FOLDER, "train")
        label_count = len(read_manifest(FETCH_FOLDER, FetchManifest).label_names)
        train_trials(study, TrialContext(params, label_count, reviews, tags), n_trials)
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
    found = runs.find_runs(experiment, {SWEEP: name})
    return started_run(
        run_id=found[0].info.run_id if found else None,
        run_name=name.replace("-", " "),
        tags={SWEEP: name, **tags},
        description=f"A sweep on `{params.fetch.dataset_name}`. Its trials are the runs below it.",
    )


def train_trials(study: optuna.Study, context: TrialContext, n_trials: int) -> None:
    """Train trials until a study has as many that are done.

    Raises:
        UserError: see `sentiment.sweep.trial.objective`.
    """

    def print_progress(study: optuna.Study, trial: FrozenTrial) -> None:
        value = "" if trial.value is None else f"{METRIC} {trial.value:.4f}, "
        click.echo(f"Trial {trial.number}: {value}{count_done(study)} of {n_trials} are done")

    if count_done(study) < n_trials:  # MaxTrialsCallback counts only after a trial
        study.optimize(
            partial(objective, context),
            callbacks=[MaxTrialsCallback(n_trials, states=DONE), print_progress],
        )
