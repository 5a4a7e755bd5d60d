"""Compare the files in `data/` and `metrics/` with MLflow, and log what is missing there.

A complete run does not change, except that what was deleted in MLflow is logged again. A run that
is not complete, and that no training resumes, is replaced by a new one, which is made from the
files.
"""

import hashlib
import math
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from sentiment.errors import AlreadyRunningError, StoreError, UserError, first_line
from sentiment.network.training import EPOCH_COLUMNS, EPOCH_METRICS
from workflow import files, registry, runs, store
from workflow.checkpoint import Checkpoint, exclusive_checkpoint, remove_checkpoint
from workflow.files import EvaluateSections, FetchSections, PadSections, TrainSections
from workflow.params_file import load_params
from workflow.runs import LATER, STATE, TRAINED, TRAINING, TRAINING_ID, TRAINING_KEY

if TYPE_CHECKING:
    import mlflow

WAIT_SECONDS = 60.0  # another evaluation of the same training takes seconds


class LoggedRun(NamedTuple):
    """A run in the store."""

    run_id: str
    name: str
    experiment_id: str

    def describe(self) -> str:
        """Return the id, the name and the page as two lines."""
        return f"Run {self.run_id}: {self.name}\n{store.run_url(self.experiment_id, self.run_id)}"


def sync_run() -> LoggedRun:
    """Log everything in `data/` that MLflow lacks, and let the rule decide about the model.

    A second call changes nothing.

    Returns:
        The run of the training in `data/train`.

    Raises:
        StoreError: the store cannot be used.
        UserError: a file is missing or damaged, or the training is running.
    """
    obstacle = find_obstacle()
    if obstacle is not None:
        raise UserError(f"{obstacle} Run `dvc repro` first.")
    trained = files.read_sections(files.TRAIN, TrainSections)
    evaluated = _read_evaluated(trained)
    with store.store_errors(), exclusive_checkpoint(trained.key, WAIT_SECONDS) as checkpoint:
        experiment_id = registry.connect_trainings(trained.fetch.name)
        if evaluated is None:
            run = _trained_run(experiment_id, checkpoint, trained)
        else:
            run = _evaluated_run(experiment_id, checkpoint, evaluated)
            remove_checkpoint(trained.key)
    return LoggedRun(str(run.info.run_id), str(run.info.run_name), experiment_id)


def sync_or_explain() -> LoggedRun | None:
    """Sync, or print what to do if the store fails."""
    try:
        return sync_run()
    except (StoreError, AlreadyRunningError, OSError) as error:
        print(
            f"data/ is complete but not logged to MLflow. {LATER} ({first_line(error)})",
            file=sys.stderr,
            flush=True,
        )
        return None


def find_obstacle() -> str | None:
    """Return why the files cannot be logged together, as a sentence, or None if they can.

    A single stage, `git checkout` or `dvc checkout` can leave files of different trainings.
    """
    if not (files.TRAIN / files.PARAMS).exists():
        return f"{files.TRAIN / files.PARAMS} is missing."
    trained = files.read_sections(files.TRAIN, TrainSections)
    if (files.FETCH / files.PARAMS).exists():
        fetched = files.read_sections(files.FETCH, FetchSections)
        if fetched.fetch != trained.fetch:
            return f"{files.TRAIN} was not made from the present {files.FETCH}."
    if (files.PAD / files.PARAMS).exists():
        padded = files.read_sections(files.PAD, PadSections)
        if (padded.fetch, padded.pad) != (trained.fetch, trained.pad):
            return f"{files.TRAIN} was not made from the present {files.PAD}."
    if _read_evaluated(trained) is not None:
        predictions = registry.read_predictions(files.PREDICTIONS_FILE)
        accuracy = (predictions["actual"] == predictions["predicted"]).mean()
        if not math.isclose(accuracy, files.read_json(files.TEST_METRICS_FILE)["test_accuracy"]):
            return f"{files.TEST_METRICS_FILE} was not made with the present {files.EVALUATE}."
    return None


def _read_evaluated(trained: TrainSections) -> EvaluateSections | None:
    """Return what the evaluation of a training depends on, or None if it was not evaluated yet."""
    if not (files.EVALUATE / files.PARAMS).exists():
        return None
    evaluated = files.read_sections(files.EVALUATE, EvaluateSections)
    return evaluated if evaluated.key == trained.key else None


def _trained_run(
    experiment_id: str, checkpoint: Checkpoint, trained: TrainSections
) -> "mlflow.entities.Run":
    """Return the run of a training without an evaluation. Log it if it is not complete."""
    is_trained = f"tags.`{TRAINING_KEY}` = '{trained.key}' AND tags.{STATE} != '{TRAINING}'"
    found = runs.find_runs(experiment_id, is_trained)
    return found[0] if found else _log_whole_run(experiment_id, checkpoint, trained, None)


def _evaluated_run(
    experiment_id: str, checkpoint: Checkpoint, evaluated: EvaluateSections
) -> "mlflow.entities.Run":
    """Return the run of an evaluated training. Log what it lacks, and decide about its version."""
    digest = _evaluation_digest(evaluated)
    started = _runs_of_training(experiment_id, checkpoint)
    is_complete = f"tags.`{TRAINING_KEY}` = '{evaluated.key}' AND tags.{STATE} = '{digest}'"
    complete = runs.find_runs(experiment_id, is_complete)
    # If the checkpoint's training did not end, the files come from another one with the same key.
    is_from_checkpoint = bool(started) and _has_all_epochs(checkpoint)
    if complete and (not is_from_checkpoint or started[0].info.run_id == complete[0].info.run_id):
        run = complete[0]
        _end_interrupted(started, run)
        _log_missing(run, evaluated)
    else:
        run = _log_whole_run(experiment_id, checkpoint, evaluated, digest)
    version = registry.version_of_run(str(run.info.run_id))
    assert version is not None  # it was registered above
    registry.decide(version, evaluated, load_params().promote.alpha)
    return run


def _runs_of_training(experiment_id: str, checkpoint: Checkpoint) -> "list[mlflow.entities.Run]":
    """Return the runs that a training has started, the newest first."""
    return runs.find_runs(experiment_id, f"tags.`{TRAINING_ID}` = '{checkpoint.training_id}'")


def _end_interrupted(started: "list[mlflow.entities.Run]", complete: "mlflow.entities.Run") -> None:
    """End the runs of a training that was killed and will not resume."""
    import mlflow

    for run in started:
        if run.info.status == "RUNNING" and run.info.run_id != complete.info.run_id:
            mlflow.MlflowClient().set_terminated(run.info.run_id, "KILLED")


def _evaluation_digest(evaluated: EvaluateSections) -> str:
    """Return a digest of the predictions in `data/evaluate` and of the params of the evaluation."""
    params = evaluated.evaluate.model_dump_json().encode()
    return hashlib.sha256(files.PREDICTIONS_FILE.read_bytes() + params).hexdigest()[:16]


def _log_whole_run(
    experiment_id: str, checkpoint: Checkpoint, trained: TrainSections, digest: str | None
) -> "mlflow.entities.Run":
    """Continue the run of a finished training, or make a new run, until it has everything.

    Args:
        experiment_id: the experiment of the run.
        checkpoint: the checkpoint of the training.
        trained: what the training depends on, and its evaluation, if there is one.
        digest: digest of the evaluation. None: the training was not evaluated yet.
    """
    import mlflow

    started = _runs_of_training(experiment_id, checkpoint)
    is_trained = bool(started) and started[0].data.tags.get(STATE) == TRAINED
    try:
        if is_trained:
            mlflow.start_run(run_id=started[0].info.run_id)
        else:
            for incomplete in started:
                runs.delete_run(incomplete)
            runs.start_run(checkpoint, trained)
            runs.log_epochs(_read_epochs(checkpoint))
            runs.log_training()
            mlflow.set_tag(STATE, TRAINED)
        if isinstance(trained, EvaluateSections) and digest is not None:
            runs.log_evaluation(trained)
            mlflow.set_tag(STATE, digest)
        run = runs.active_run()
    except BaseException:
        with suppress(Exception):
            mlflow.end_run("FAILED")
        raise
    mlflow.end_run()
    return mlflow.get_run(run.info.run_id)


def _read_epochs(checkpoint: Checkpoint) -> list[dict[str, float]]:
    """Return the epochs, with the present as their times if the checkpoint lacks them."""
    if checkpoint.state is not None and _has_all_epochs(checkpoint):
        rows = checkpoint.state["epochs"].tolist()
        return [dict(zip(EPOCH_COLUMNS, row, strict=True)) for row in rows]
    history = pd.read_csv(files.HISTORY_FILE)[list(EPOCH_METRICS)].assign(ended=time.time())
    return [dict(zip(history.columns, row, strict=True)) for row in history.to_numpy().tolist()]


def _has_all_epochs(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint has all epochs of the training in `data/train`."""
    return checkpoint.state is not None and len(checkpoint.state["epochs"]) == len(
        pd.read_csv(files.HISTORY_FILE)
    )


class Missing(NamedTuple):
    """What a complete run lacks in MLflow.

    Attributes:
        metrics: whether metrics of the test set differ from the file.
        params_file: whether the artifact `params.yaml` is gone.
        keras_model: whether the logged Keras model is gone.
        version: whether the text model or the version that was registered from it is gone.
        files: files that are no artifacts, and their folders among the artifacts.
    """

    metrics: bool
    params_file: bool
    keras_model: bool
    version: bool
    files: list[tuple[Path, str]]


def _find_missing(run: "mlflow.entities.Run") -> Missing:
    """Compare a complete run with the files: somebody deleted something, or the code is newer."""
    metrics = files.read_json(files.TEST_METRICS_FILE)
    has_other_metrics = any(run.data.metrics.get(name) != metrics[name] for name in metrics)
    logged = {folder: _artifact_names(run, folder) for folder in ("", runs.TABLES_ARTIFACT)}
    sources = {"": files.EVALUATE, runs.TABLES_ARTIFACT: files.METRICS_FOLDER}
    models = {model.name for model in runs.logged_models(run) if _has_artifacts(model)}
    has_version = registry.version_of_run(str(run.info.run_id)) is not None
    return Missing(
        metrics=has_other_metrics,
        params_file=runs.PARAMS_ARTIFACT not in logged[""],
        keras_model=runs.KERAS_MODEL not in models,
        version=runs.TEXT_MODEL not in models or not has_version,
        files=[
            (path, folder)
            for folder, source in sources.items()
            for path in sorted(source.iterdir())
            if has_other_metrics or path.name not in logged[folder]
        ],
    )


def _log_missing(run: "mlflow.entities.Run", evaluated: EvaluateSections) -> None:
    """Log what a complete run lacks. Its status and its end stay as they are."""
    import mlflow

    missing = _find_missing(run)
    if not any(missing):
        if run.info.status != "FINISHED":  # the process was killed before it could say so
            mlflow.MlflowClient().set_terminated(run.info.run_id)
        return
    mlflow.start_run(run_id=run.info.run_id)
    try:
        if missing.metrics:
            mlflow.log_metrics(files.read_json(files.TEST_METRICS_FILE))
        for path, folder in missing.files:
            mlflow.log_artifact(str(path), folder or None)
        if missing.params_file:
            runs.log_params_file(evaluated)
        if missing.keras_model:
            runs.log_training()
        if missing.version:
            runs.register_text_model(evaluated)
    finally:
        mlflow.end_run()
        mlflow.MlflowClient().set_terminated(
            run.info.run_id, "FINISHED", run.info.end_time or int(1000 * time.time())
        )
    print(f"What run {run.info.run_id} lacked is logged again.")


def _artifact_names(run: "mlflow.entities.Run", folder: str) -> set[str]:
    import mlflow

    found = mlflow.MlflowClient().list_artifacts(run.info.run_id, folder)
    return {Path(artifact.path).name for artifact in found}


def _has_artifacts(model: "mlflow.entities.LoggedModel") -> bool:
    import mlflow

    return bool(mlflow.MlflowClient().list_logged_model_artifacts(model.model_id))
