"""Log the results in `data/` to the run of their training, or to a copy of that run.

A run holds one training and one evaluation. Its test metrics, its predictions and its model never
change: an evaluation with other values is logged to a copy. So metrics are logged first, and the
model last.
"""

from collections.abc import Mapping
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple

from ruamel.yaml import YAML

from sentiment.errors import UserError
from sentiment.model.batches import Split
from sentiment.params import EvaluateParams
from sentiment.project.files.arrays import read_array, read_training_splits
from sentiment.project.files.digests import file_digest, folder_digest
from sentiment.project.files.documents import read_json, read_table
from sentiment.project.files.paths import (
    CARD_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    PARAMS_FILE,
    PREDICTIONS_FILE,
    Project,
)
from sentiment.project.files.records import RunRecord, read_record, read_run_record
from sentiment.project.versioning.dvc import changed_outputs, read_model_stages
from sentiment.text.model_files import THRESHOLD
from sentiment.tracking import address, experiments, models, runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PREDICTIONS_DIGEST = "predictions_digest"  # tag of a run: of predictions.csv


def check_results(project: Project, record: RunRecord) -> None:
    """Check that the model in `data/train` is the run's, and was trained on `data/pad`.

    `dvc repro --single-item`, or a person, may have changed one of the folders.

    Raises:
        UserError: one of the folders differs from the one that the run recorded.
    """
    expected = {project.padded: record.padded_digest, project.trained: record.trained_digest}
    for folder, digest in expected.items():
        if folder_digest(folder) != digest:
            raise UserError(
                f"{folder} does not belong to run {record.run_id} in {project.run_file}. Run "
                "`dvc repro`, which restores it from DVC's cache, or trains again."
            )


class LockedResults(NamedTuple):
    """Results that dvc.lock describes.

    Attributes:
        record: the run of their training.
        threshold: `evaluate.threshold` of their evaluation.
        test_metrics: the metrics of their evaluation.
    """

    record: RunRecord
    threshold: float
    test_metrics: dict[str, float]


def read_locked_results(project: Project) -> LockedResults:
    """Read the results in `data/`.

    Raises:
        UserError: dvc.lock describes other results, or a file is missing or damaged.
    """
    changed = changed_outputs(project)
    if changed:
        raise UserError(
            f"dvc.lock describes other results than these: {', '.join(changed)}. Run `dvc repro`. "
            "If you ran the stages without DVC, run `dvc commit`."
        )
    record = read_run_record(project)
    check_results(project, record)
    params = read_record(project.evaluated / PARAMS_FILE, EvaluateParams)
    test_metrics = read_json(project.evaluated / METRICS_FILE)
    return LockedResults(record, params.threshold, test_metrics)


def log_results(
    project: Project,
    client: "MlflowClient",
    record: RunRecord,
    threshold: float,
    test_metrics: Mapping[str, float],
) -> "Run":
    """Log the results in `data/` to the run that fits them, and return the run.

    Args:
        record: the run of the training.
        threshold: `evaluate.threshold` of the evaluation.
        test_metrics: the metrics of the evaluation.

    Raises:
        StoreError: the store cannot be used.
        UserError: the run was deleted.
    """
    from mlflow.entities import Metric, Param, RunTag

    predictions_digest = file_digest(project.evaluated / PREDICTIONS_FILE)
    with address.store_errors():
        run = find_matching_run(client, record, threshold, test_metrics, predictions_digest)
        if run is None:
            run = start_copy(project, client, record)
        run_id = run.info.run_id
        # First of all, because another evaluation may take a run without metrics for its own.
        # With the time of the run's start, the same metrics again are the same points.
        start = run.info.start_time
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, start, 0) for name, value in test_metrics.items()],
            params=[Param(THRESHOLD, str(threshold))],
            tags=[RunTag(PREDICTIONS_DIGEST, predictions_digest)],
        )
        log_trained_files(project, client, run_id, record)
        log_evaluation(project, client, run_id, record)
        if models.find_model(client, run) is None:
            models.log_model(project, run_id, threshold)
        run = client.get_run(run_id)
        if run.info.status != "FINISHED":  # a new copy, or an earlier call was cut short
            client.set_terminated(run_id)
            run = client.get_run(run_id)
        return run


def find_matching_run(
    client: "MlflowClient",
    record: RunRecord,
    threshold: float,
    test_metrics: Mapping[str, float],
    predictions_digest: str,
) -> "Run | None":
    """Return the run of a training, or a copy of the run, if none of its values would change.

    Predictions may differ in their last bits without changing a metric.

    Raises:
        UserError: the run was deleted.
    """
    original = runs.get_run(client, record.run_id)
    candidates = [*([original] if original else []), *runs.find_copies(client, record.run_id)]
    for run in candidates:
        logged = run.data.metrics
        has_same_threshold = run.data.params.get(THRESHOLD, str(threshold)) == str(threshold)
        has_same_metrics = all(
            logged.get(name, value) == value for name, value in test_metrics.items()
        )
        digest = run.data.tags.get(PREDICTIONS_DIGEST, predictions_digest)
        has_same_predictions = digest == predictions_digest
        if has_same_threshold and has_same_metrics and has_same_predictions:
            return run
    return None


def find_locked_run(project: Project, client: "MlflowClient") -> "Run":
    """Return the run that has the results that dvc.lock describes.

    Raises:
        StoreError: the store cannot be used.
        UserError: dvc.lock describes other results, no run has them, or the run was deleted.
    """
    locked = read_locked_results(project)
    predictions_digest = file_digest(project.evaluated / PREDICTIONS_FILE)
    with address.store_errors():
        run = find_matching_run(client, *locked, predictions_digest)
    if run is None or THRESHOLD not in run.data.params:
        raise UserError("MLflow has no run with the results in data/. Run `sentiment log` first.")
    return run


def start_copy(project: Project, client: "MlflowClient", record: RunRecord) -> "Run":
    """Start a run with the tags of a training and the tag `original_run`, and return the run."""
    experiment_id = runs.open_trainings(project, client, record.fetch.dataset_name)
    tags = record.tags | {runs.ORIGINAL_RUN: record.run_id}
    return client.create_run(experiment_id, tags=tags)


def log_trained_files(
    project: Project, client: "MlflowClient", run_id: str, record: RunRecord
) -> None:
    """Log the training in `data/train`. Logging it again changes nothing."""
    splits = read_training_splits(project, record.training.section.validation_split)
    runs.log_training(client, run_id, record, splits)
    runs.log_epochs(client, run_id, read_table(project.trained / HISTORY_FILE))
    runs.log_kept_epoch(client, run_id, read_json(project.trained / METRICS_FILE))


def log_evaluation(
    project: Project, client: "MlflowClient", run_id: str, record: RunRecord
) -> None:
    """Log tables, plots, card and test set of the evaluation in `data/evaluate`.

    The files of an earlier evaluation with the same metrics are replaced.
    """
    x = read_array(project.padded / "x_test.npy")
    y = read_array(project.padded / "y_test.npy")
    client.log_inputs(run_id, [runs.dataset_input(record.fetch.dataset_name, "test", Split(x, y))])
    client.log_artifacts(run_id, str(project.evaluated))
    client.log_artifacts(run_id, str(project.metrics), runs.TABLES_ARTIFACT)
    card = (project.evaluated / CARD_FILE).read_text(encoding="utf-8")
    stages = read_model_stages(project, project.run_file)
    if stages is not None:
        text = StringIO()
        YAML().dump({"schema": "2.0", "stages": stages}, text)
        client.log_text(run_id, text.getvalue(), runs.LOCK_ARTIFACT)
        card += (
            "\nThe data, in a new clone of the project: `mlflow artifacts download --run-id "
            f"{run_id} --artifact-path dvc.lock --dst-path . && dvc pull data/fetch data/pad "
            "data/train`\n"
        )
    client.set_tag(run_id, experiments.DESCRIPTION, card)


def describe_logged_run(run: "Run") -> str:
    """Return lines that name a run, and the commands for it."""
    run_id = run.info.run_id[:8]
    return (
        f"Run {run_id}, {run.info.run_name}, is in MLflow: `make ui`\n"
        f"To promote its model if it is better: `sentiment promote {run_id}`"
    )
