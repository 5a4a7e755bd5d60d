"""The MLflow run of a training: while it trains, and how it is found again.

`data/run.json` has the run's id. A store that lacks the run, such as another machine's, gets a copy
with the tag `original_run`.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from sentiment.errors import UserError
from sentiment.model.batches import Split
from sentiment.model.training import EPOCH_METRICS, KEPT_EPOCH
from sentiment.project.files.paths import Project
from sentiment.project.files.records import PaddedDataset, RunRecord
from sentiment.project.training.checkpoint import Checkpoint
from sentiment.project.training.naming import SEPARATOR, training_name
from sentiment.project.training.provenance import (
    DVC_EXPERIMENT,
    provenance_tags,
    shorten_tag,
    uncommitted_changes,
)
from sentiment.project.versioning.own_table import named_files
from sentiment.terminal import show
from sentiment.tracking import address, experiments, registry

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

    from sentiment.params import TrainingParams

ID_PATTERN = re.compile(r"[0-9a-f]{1,32}")  # the id of a run, or the beginning of one
# Tags of a run
ORIGINAL_RUN = "original_run"  # the id of the run that this one copies
DATASET = "dataset"
TEST_SET_DIGEST = "test_set_digest"
SOURCE_NAME = "mlflow.source.name"
SOURCE = "stages/train.py"
# The metric of the epoch whose weights are kept. MLflow shows the last epoch's as val_accuracy.
KEPT_VAL_ACCURACY = "val_accuracy_kept"
# Artifacts
PARAMS_ARTIFACT = "params.yaml"
DIFF_ARTIFACT = "uncommitted.diff"
LOCK_ARTIFACT = "dvc.lock"
TABLES_ARTIFACT = "metrics"
# What the table of runs shows in MLflow's UI
RUN_COLUMNS = (
    "metrics.`test_accuracy`",
    "metrics.`test_f1`",  # of the positive label, or macro F1
    "metrics.`val_accuracy_kept`",
    "params.`model`",
    "params.`architecture`",
    "params.`units`",
)


def open_trainings(project: Project, client: "MlflowClient", dataset: str) -> str:
    """Return the id of the experiment that gets new trainings on a dataset.

    Raises:
        StoreError: the experiment was deleted.
    """
    description = f"Trainings on `{dataset}`: each run is a model with its evaluation."
    name = registry.registered_name(dataset)
    return experiments.open_experiment(project, client, name, description, RUN_COLUMNS)


def create_run(
    client: "MlflowClient", experiment_id: str, name: str, tags: Mapping[str, str]
) -> str:
    """Create a run with these tags and those that MLflow adds by itself, and return its id.

    `mlflow.start_run` would take another run, or another experiment, from the environment.
    """
    from mlflow.tracking.context.registry import resolve_tags

    run = client.create_run(experiment_id, tags=resolve_tags({**tags}), run_name=name)
    return str(run.info.run_id)


@contextmanager
def active_run(run_id: str) -> "Iterator[Run]":
    """Make a run MLflow's active run, and RUNNING, during the block.

    Afterwards its status is FINISHED, KILLED by a signal, or FAILED.

    Raises:
        StoreError: the store cannot be used.
    """
    import mlflow

    with address.store_errors():
        run = mlflow.start_run(run_id=run_id)
    try:
        yield run
    except BaseException as error:
        address.try_only_once()
        with suppress(Exception):  # the error that has ended the block is the one to show
            mlflow.end_run("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    with address.store_errors():
        mlflow.end_run()


@contextmanager
def training_run(
    project: Project,
    client: "MlflowClient",
    checkpoint: Checkpoint,
    dataset: PaddedDataset,
    params: "TrainingParams",
    fitted: dict[str, int | float],
    padded_digest: str,
) -> Iterator[RunRecord]:
    """Yield the run of a training, which is active during the block.

    The run in the checkpoint is resumed. A new run starts if the checkpoint has none, or if its run
    was deleted or is not in the store.

    Args:
        fitted: the values that the stages chose for a table, by their names.
        padded_digest: the digest of `data/pad`.

    Raises:
        StoreError: the store cannot be used, or the experiment was deleted.
        UserError: the checkpoint is damaged.
    """
    record = checkpoint.read_run()
    with address.store_errors():
        interrupted = find_run_even_deleted(client, record.run_id) if record else None
    if record and interrupted and interrupted.info.lifecycle_stage == "active":
        with active_run(record.run_id):
            yield record
        return
    changes = uncommitted_changes(project, named_files(dataset.fetch, params.vectors))
    unrecorded = changes.describe(with_md5=False)
    if unrecorded:
        show(f"Neither the commit nor the run's diff has: {unrecorded}")
    tags = {**provenance_tags(project, changes), **dataset_tags(dataset), SOURCE_NAME: SOURCE}
    training = training_name(project, params)
    name = SEPARATOR.join(filter(None, [training, tags.get(DVC_EXPERIMENT)]))
    with address.store_errors():
        experiment_id = open_trainings(project, client, dataset.fetch.dataset_name)
        run_id = create_run(client, experiment_id, name, tags)
    with active_run(run_id) as run:
        record = RunRecord(
            run_id=run.info.run_id,
            fetch=dataset.fetch,
            training=params,
            fitted=fitted,
            tags=run.data.tags,  # with those that MLflow adds
            diff=changes.diff,
            padded_digest=padded_digest,
        )
        checkpoint.write_run(record)
        yield record


def dataset_tags(dataset: PaddedDataset) -> dict[str, str]:
    """Return the tags and the description that a training has from its dataset."""
    name = dataset.fetch.dataset_name
    tags = {
        DATASET: name,
        registry.LABELS: shorten_tag(json.dumps(dataset.label_names, ensure_ascii=False)),
        TEST_SET_DIGEST: dataset.test_set_digest,
        experiments.DESCRIPTION: f"A training on `{name}` that is not evaluated.",
    }
    if dataset.fetch.table_path:
        tags[registry.TABLE] = dataset.fetch.table_path
    return tags


def log_training(
    client: "MlflowClient", run_id: str, record: RunRecord, splits: tuple[Split, Split]
) -> None:
    """Log what a training depends on. Logging it again changes nothing.

    Args:
        splits: the training set and the validation set.
    """
    from mlflow.entities import Param

    params = [Param(name, value) for name, value in record.params().items()]
    client.log_batch(run_id, params=params)
    client.log_dict(run_id, record.document(), PARAMS_ARTIFACT)
    if record.diff:
        client.log_text(run_id, f"{record.diff}\n", DIFF_ARTIFACT)
    dataset = record.fetch.dataset_name
    inputs = [
        dataset_input(dataset, context, split)
        for context, split in zip(("training", "validation"), splits, strict=True)
    ]
    client.log_inputs(run_id, inputs)


def log_epochs(client: "MlflowClient", run_id: str, history: "pd.DataFrame") -> None:
    """Log a point for each metric of each epoch that a run lacks.

    Args:
        history: a row for each epoch, with the columns `epoch` and `EPOCH_METRICS`.
    """
    from mlflow.entities import Metric

    # A request logs all metrics of an epoch, so one of them stands for all.
    logged = {point.step for point in client.get_metric_history(run_id, EPOCH_METRICS[-1])}
    for row in history.to_dict("records"):
        if row["epoch"] not in logged:
            now = int(time.time() * 1000)  # in milliseconds
            points = [Metric(name, row[name], now, int(row["epoch"])) for name in EPOCH_METRICS]
            client.log_batch(run_id, points)


def log_kept_epoch(client: "MlflowClient", run_id: str, metrics: Mapping[str, float]) -> None:
    """Log the number and the validation accuracy of the epoch whose weights are kept.

    Args:
        metrics: `val_accuracy` of this epoch, and its number as `KEPT_EPOCH`.
    """
    from mlflow.entities import Metric

    # With the time of the run's start, the same metrics again are the same points.
    start = client.get_run(run_id).info.start_time
    kept = {KEPT_EPOCH: metrics[KEPT_EPOCH], KEPT_VAL_ACCURACY: metrics["val_accuracy"]}
    client.log_batch(run_id, [Metric(name, value, start, 0) for name, value in kept.items()])


def dataset_input(name: str, context: str, split: Split) -> "DatasetInput":
    """Return a split of `data/pad` as an input of a run.

    Args:
        name: the name of the dataset.
        context: training, validation or test.
    """
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.numpy_dataset import from_numpy
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = get_dataset_source_from_json(json.dumps({"uri": "data/pad"}), "local")
    dataset = from_numpy(split.x, source, split.y, name=f"{name}-{context}")
    tags = [InputTag("mlflow.data.context", context)]
    return DatasetInput(Dataset(**dataset.to_dict()), tags)


def find_run_even_deleted(client: "MlflowClient", run_id: str) -> "Run | None":
    """Return a run, which may be deleted, or None if the store lacks it."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in experiments.NOT_FOUND_CODES:
            raise
        return None


def get_run(client: "MlflowClient", run_id: str) -> "Run | None":
    """Return a run, or None if the store lacks it.

    Raises:
        UserError: it was deleted, or its experiment was.
    """
    run = find_run_even_deleted(client, run_id)
    if run is None:
        return None
    experiments.check_experiment(client, client.get_experiment(run.info.experiment_id))
    if run.info.lifecycle_stage == "deleted":
        raise UserError(
            f"Run {run_id} was deleted in MLflow.\n"
            f"  To bring it back: mlflow runs restore --run-id {run_id}\n"
            "  To train again, in a new run: dvc repro --force --single-item train && dvc repro"
        )
    return run


def find_copies(client: "MlflowClient", run_id: str) -> "list[Run]":
    """Return the copies of a run, the newest first.

    Args:
        run_id: the id of the original run, or its beginning.
    """
    return list(search_runs(client, f"tags.{ORIGINAL_RUN} LIKE '{run_id}%'"))


def read_dependencies(client: "MlflowClient", run: "Run", stage: str) -> dict[str, str]:
    """Return the digest of each dependency of a stage, by the dvc.lock of a run.

    Returns:
        {} if the run has no dvc.lock, because its stages were run without DVC.
    """
    import mlflow

    logged = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    if LOCK_ARTIFACT not in logged:
        return {}
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{LOCK_ARTIFACT}")
    stages = YAML(typ="safe", pure=True).load(text)["stages"]
    return {entry["path"]: entry["md5"] for entry in stages[stage]["deps"]}


def find_run(client: "MlflowClient", run_id: str) -> "Run":
    """Return the run with this id, or with an id that begins so, or else the copy of such a run.

    Raises:
        UserError: there is no such run, there are several, or it was deleted.
    """
    if not ID_PATTERN.fullmatch(run_id):
        raise UserError(f"{run_id} is not the id of a run. MLflow's UI shows the ids of all runs.")
    pattern = f"attributes.run_id LIKE '{run_id}%'"
    found = [*search_runs(client, pattern)] or find_copies(client, run_id)
    if not found:
        deleted = next(search_runs(client, pattern, is_deleted=True), None)
        get_run(client, deleted.info.run_id if deleted else run_id)  # raises if it was deleted
        raise UserError(f"There is no run {run_id}. MLflow's UI shows the ids of all runs.")
    if len(found) > 1:
        ids = ", ".join(run.info.run_id for run in found)
        raise UserError(f"{len(found)} runs match {run_id}: {ids}. Name one of these.")
    return found[0]


def search_runs(
    client: "MlflowClient", filter_string: str, page_size: int = 1000, is_deleted: bool = False
) -> "Iterator[Run]":
    """Yield the runs of all experiments that match a filter, the newest first.

    Args:
        page_size: number of runs that are read at once.
        is_deleted: whether to yield the deleted runs, instead of the others.
    """
    from mlflow.entities import ViewType

    view = ViewType.ALL if is_deleted else ViewType.ACTIVE_ONLY  # of the experiments
    ids = [each.experiment_id for each in client.search_experiments(view)]
    yield from experiments.experiment_runs(client, ids, filter_string, page_size, is_deleted)
