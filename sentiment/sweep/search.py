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
from sentiment.project import provenance
from sentiment.project.arrays import read_reviews
from sentiment.project.params_file import PARAMS
from sentiment.project.paths import Project
from sentiment.project.records import DATASET_FILE, FetchedDataset, read_record
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
from sentiment.tracking import registry, runs, store
from sentiment.tracking.operations import open_operations

SWEEP_DATABASE = "sweeps.db"  # in the project's root
SWEEP = "sweep.name"  # tag of a parent run: name of the study
TABLE = "best.txt"


def open_sweep(project: Project, params: Params, storage: str | None) -> optuna.Study:
    """Open the study of these params and the current space, training set and code.

    Args:
        params: the params that the sweep starts from.
        storage: URL of a database. None: that in the root.

    Raises:
        UserError: the space is not valid, or `data/fetch` is not of these params.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the command prints lines of its own
    fixed = fixed_params(params)
    if read_record(project.fetched / DATASET_FILE, FetchedDataset).fetch != params.fetch.used():
        raise UserError(
            f"{project.fetched} has other reviews than {PARAMS}. Run `dvc repro fetch`."
        )
    url = storage or f"sqlite:///{project.root / SWEEP_DATABASE}"
    return open_study(url, study_name(project, fixed))


def search(project: Project, study: optuna.Study, params: Params, n_trials: int) -> None:
    """Train trials until a study has as many that are done, and log them to MLflow.

    Raises:
        UserError: see `sentiment.sweep.trial.objective`.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it would warn of every new model
    client = store.connect(project)
    name = registry.registered_name(params.fetch.dataset_name)
    with store.store_errors():
        experiment = open_operations(project, client, name)
    tags = provenance.provenance_tags(project, provenance.uncommitted_changes(project))
    with (
        store.store_errors(),
        parent_run(client, experiment, study.study_name, params, tags) as parent,
    ):
        click.echo(store.describe_run(client.tracking_uri, experiment, parent.info.run_id))
        reviews = read_reviews(project.fetched, "train")
        dataset = read_record(project.fetched / DATASET_FILE, FetchedDataset)
        label_count = len(dataset.label_names)
        context = TrialContext(project, client, experiment, params, label_count, reviews, tags)
        train_trials(study, context, n_trials)
        mlflow.log_artifact(SPACE_FILE)
        mlflow.log_artifact(str(project.params_file))
        mlflow.log_text(f"{describe_trials(best_trials(study))}\n", TABLE)


def parent_run(
    client: mlflow.MlflowClient, experiment: str, name: str, params: Params, tags: Mapping[str, str]
) -> AbstractContextManager[mlflow.ActiveRun]:
    """Start or resume the parent run of a study.

    Args:
        experiment: the id of its experiment.
        name: the name of the study.
        params: the params that the sweep starts from.
        tags: further tags.
    """
    found = runs.search_runs(client, f"tags.`{SWEEP}` = '{name}'")
    return started_run(
        run_id=found[0].info.run_id if found else None,
        experiment_id=experiment,
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
