"""Train the trials of a sweep, together with other processes."""

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

import click
import mlflow
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from sentiment.params import Params
from sentiment.project.arrays import read_padded_vectors, read_reviews
from sentiment.project.own_table import named_files
from sentiment.project.paths import DATASET_FILE, Project
from sentiment.project.provenance import provenance_tags, uncommitted_changes
from sentiment.project.records import FetchedDataset, read_record
from sentiment.sweep.study import (
    METRIC,
    SPACE_FILE,
    best_trials,
    ended_trials,
    enqueue_present,
)
from sentiment.sweep.trial import (
    RefusedError,
    TrialContext,
    describe_trial,
    ending_run,
    objective,
)
from sentiment.tracking import address, registry, runs, store

SWEEP = "sweep.name"  # tag of a parent run: name of the study
PARENT = "mlflow.parentRunId"  # MLflow's tag of a child run


def search(
    project: Project,
    study: optuna.Study,
    params: Params,
    distributions: Mapping[str, BaseDistribution],
    n_trials: int,
) -> str:
    """Train trials until as many have ended, log them to MLflow, and return where to look.

    Raises:
        StoreError: MLflow's store or the study's database failed.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it would warn of every new model
    client = store.connect(project)
    tables = named_files(params.fetch, params.vectors)
    tags = provenance_tags(project, uncommitted_changes(project, tables))
    dataset = params.fetch.dataset_name
    with address.store_errors():
        name = registry.registered_name(dataset)
        about = f"Sweeps on `{dataset}`: a run for each, and one below it for each trial."
        experiment_id = store.open_experiment(project, client, f"{name} sweeps", about, ())
        description = f"A sweep on `{dataset}`. Its trials are the runs below it."
        own_tags = {**tags, SWEEP: study.study_name, store.DESCRIPTION: description}
        parent_id = start_parent(client, experiment_id, study.study_name, own_tags)
    with ending_run(client, parent_id):
        fetched = read_record(project.fetched / DATASET_FILE, FetchedDataset)
        context = TrialContext(
            project,
            client,
            experiment_id,
            params,
            len(fetched.label_names),
            read_padded_vectors(project, bool(params.vectors)),
            read_reviews(project.fetched, "train"),
            {**tags, PARENT: parent_id},
        )
        if len(ended_trials(study)) < n_trials:
            enqueue_present(study, params, distributions)
            train_trials(study, context, n_trials)
        with address.store_errors():
            client.log_artifact(parent_id, str(project.folder / SPACE_FILE))
    return store.describe_pages(client.tracking_uri, experiment_id, parent_id)


def start_parent(
    client: mlflow.MlflowClient, experiment_id: str, name: str, tags: dict[str, str]
) -> str:
    """Start or resume the parent run of a study, and return its id."""
    found = next(runs.search_runs(client, f"tags.`{SWEEP}` = '{name}'"), None)
    if found is None:
        return str(client.create_run(experiment_id, tags=tags, run_name=name).info.run_id)
    client.update_run(found.info.run_id, "RUNNING")
    return str(found.info.run_id)


def train_trials(study: optuna.Study, context: TrialContext, n_trials: int) -> None:
    """Train trials until this many have ended, including those of other processes."""
    before = len(ended_trials(study))
    started = time.monotonic()

    def after_trial(study: optuna.Study, trial: FrozenTrial) -> None:
        click.echo(describe_trial(trial))
        ended = len(ended_trials(study))
        # each further process may add one trial
        parts = [f"{ended} of {max(ended, n_trials)} trials are done"]
        parts += [
            f"the best is trial {best.number} with {METRIC} {best.value:.4f}"
            for best in best_trials(study)[:1]
        ]
        if ended < n_trials:
            seconds = (time.monotonic() - started) / (ended - before) * (n_trials - ended)
            parts.append(f"about {timedelta(seconds=round(seconds))} left")
        else:
            study.stop()
        click.echo(", ".join(parts))

    study.optimize(partial(objective, context), callbacks=[after_trial], catch=(RefusedError,))
