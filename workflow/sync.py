"""Compare the files in `data/` and `metrics/` with MLflow, and log what is missing there.

A complete run does not change, except that what was deleted in MLflow is logged again, and newer
plots. If the run of the training in `data/train` is not complete, a new one is made from the files
in its place. Another evaluation of the training is another run.
"""

import hashlib
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from sentiment.errors import AlreadyRunningError, StoreError, UserError, first_line
from sentiment.network.training import EPOCH_COLUMNS, EPOCH_METRICS
from workflow import files, provenance, registry, runs, store
from workflow.checkpoint import (
    Checkpoint,
    exclusive_checkpoint,
    interrupted_trainings,
    remove_checkpoint,
)
from workflow.files import EvaluateInputs, FetchInputs, PadInputs, TrainInputs
from workflow.runs import (
    DIFF_ARTIFACT,
    EVALUATING,
    IMPLEMENTATION,
    STATE,
    SYNC_ADVICE,
    TRAINED,
    TRAINING,
    TRAINING_ID,
    TRAINING_KEY,
)

if TYPE_CHECKING:
    import mlflow

EVALUATION_WAIT_SECONDS = 60.0  # another evaluation of the same training takes seconds


class LoggedRun(NamedTuple):
    """A run in the store."""

    run_id: str
    name: str
    experiment_id: str

    def describe(self) -> str:
        """Return the id, the name, and the pages of the run and of all runs."""
        return (
            f"Run {self.run_id}: {self.name}\n"
            f"  {store.run_url(self.experiment_id, self.run_id)}\n"
            f"All runs:\n"
            f"  {store.runs_url(self.experiment_id)}"
        )


def sync_run(alpha: float) -> LoggedRun:
    """Log everything in `data/` that MLflow lacks, and let the rule decide about the model.

    A second call changes nothing.

    Args:
        alpha: see `workflow.promotion`.

    Returns:
        The run of the training in `data/train`.

    Raises:
        StoreError: the store cannot be used.
        UserError: a file is missing or damaged, or the training is running.
    """
    obstacle = find_mismatch()
    if obstacle is not None:
        raise UserError(f"{obstacle} Run `dvc repro` first.")
    train_inputs = files.read_inputs(files.TRAIN, TrainInputs)
    evaluate_inputs = _read_evaluate_inputs(train_inputs)
    with (
        store.store_errors(),
        exclusive_checkpoint(train_inputs.key, EVALUATION_WAIT_SECONDS) as checkpoint,
    ):
        experiment_id = registry.connect_trainings(train_inputs.fetch.name)
        if evaluate_inputs is None:
            run = _ensure_trained_run(experiment_id, checkpoint, train_inputs)
        else:
            run = _ensure_evaluated_run(experiment_id, checkpoint, evaluate_inputs, alpha)
            _end_running(checkpoint.training_id)  # another training of the same key
            remove_checkpoint(train_inputs.key)
        for training_id in interrupted_trainings():  # their runs run again if they resume
            _end_running(training_id)
    return LoggedRun(str(run.info.run_id), str(run.info.run_name), experiment_id)


def sync_or_explain(alpha: float) -> LoggedRun | None:
    """Call `sync_run`, or print what to do if the store fails."""
    try:
        return sync_run(alpha)
    except (StoreError, AlreadyRunningError, OSError) as error:
        print(
            f"data/ is complete but not logged to MLflow. {SYNC_ADVICE} ({first_line(error)})",
            file=sys.stderr,
            flush=True,
        )
        return None


def find_mismatch() -> str | None:
    """Return why the files cannot be logged together, as a sentence, or None if they can.

    A single stage, `git checkout` or `dvc checkout` can leave files of different trainings.
    """
    if not (files.TRAIN / files.INPUTS).exists():
        return f"{files.TRAIN / files.INPUTS} is missing."
    train_inputs = files.read_inputs(files.TRAIN, TrainInputs)
    if (files.FETCH / files.INPUTS).exists():
        fetched = files.read_inputs(files.FETCH, FetchInputs)
        if fetched.fetch != train_inputs.fetch:
            return f"{files.TRAIN} was not made from the present {files.FETCH}."
    if (files.PAD / files.INPUTS).exists():
        padded = files.read_inputs(files.PAD, PadInputs)
        if (padded.fetch, padded.pad) != (train_inputs.fetch, train_inputs.pad):
            return f"{files.TRAIN} was not made from the present {files.PAD}."
    folders = [files.TRAIN]
    if _read_evaluate_inputs(train_inputs) is not None:
        folders.append(files.EVALUATE)
    for folder in folders:
        compared = files.compared_metrics_file(folder)
        metrics = files.read_json(folder / files.METRICS_NAME)
        if not files.read_json(compared).items() <= metrics.items():
            return f"{compared} was not made with the present {folder}."
    metrics = files.read_json(files.TRAINING_METRICS_FILE)
    history = pd.read_csv(files.HISTORY_FILE)
    losses = history["val_loss"][history["epoch"] == metrics["kept_epoch"]]
    if not any(math.isclose(loss, metrics["val_loss"]) for loss in losses):
        return f"{files.HISTORY_FILE} was not made with the present {files.TRAIN}."
    return None


def _read_evaluate_inputs(train_inputs: TrainInputs) -> EvaluateInputs | None:
    """Return what the evaluation of a training depends on, or None if it was not evaluated yet."""
    if not (files.EVALUATE / files.INPUTS).exists():
        return None
    evaluate_inputs = files.read_inputs(files.EVALUATE, EvaluateInputs)
    return evaluate_inputs if evaluate_inputs.key == train_inputs.key else None


def _ensure_trained_run(
    experiment_id: str, checkpoint: Checkpoint, train_inputs: TrainInputs
) -> "mlflow.entities.Run":
    """Return the run of a training without an evaluation, which is logged unless it is complete."""
    import mlflow

    is_trained = f"tags.`{TRAINING_KEY}` = '{train_inputs.key}' AND tags.{STATE} != '{TRAINING}'"
    found = runs.find_runs(experiment_id, is_trained)
    return (
        found[0]
        if found
        else mlflow.get_run(_log_training(experiment_id, checkpoint, train_inputs))
    )


def _ensure_evaluated_run(
    experiment_id: str, checkpoint: Checkpoint, evaluate_inputs: EvaluateInputs, alpha: float
) -> "mlflow.entities.Run":
    """Return the run of an evaluated training, to which everything is logged that it lacks.

    Then decide about its version.
    """
    import mlflow

    digest = _evaluation_digest(evaluate_inputs)
    started = _runs_of_training(experiment_id, checkpoint.training_id)
    is_complete = f"tags.`{TRAINING_KEY}` = '{evaluate_inputs.key}' AND tags.{STATE} = '{digest}'"
    complete = runs.find_runs(experiment_id, is_complete)
    # If the checkpoint's training did not end, the files come from another one with the same key.
    is_from_checkpoint = bool(started) and _has_all_epochs(checkpoint)
    if complete and (not is_from_checkpoint or started[0].info.run_id == complete[0].info.run_id):
        run_id = str(complete[0].info.run_id)
        _log_missing(complete[0], evaluate_inputs)
    else:
        run_id = _log_training(experiment_id, checkpoint, evaluate_inputs)
        with mlflow.start_run(run_id=run_id):
            runs.log_evaluation(evaluate_inputs)
            mlflow.set_tag(STATE, digest)
    version = registry.version_of_run(run_id)
    assert version is not None  # it was registered above
    registry.decide(version, evaluate_inputs, alpha)
    return mlflow.get_run(run_id)


def _evaluation_digest(evaluate_inputs: EvaluateInputs) -> str:
    """Return a digest of the predictions in `data/evaluate` and of the params of the evaluation."""
    params = evaluate_inputs.evaluate.model_dump_json().encode()
    return hashlib.sha256(files.PREDICTIONS_FILE.read_bytes() + params).hexdigest()[:16]


def _runs_of_training(experiment_id: str, training_id: str) -> "list[mlflow.entities.Run]":
    """Return the runs that a training has started, the newest first."""
    return runs.find_runs(experiment_id, f"tags.`{TRAINING_ID}` = '{training_id}'")


def _end_running(training_id: str) -> None:
    """End the run of a training that was killed. It may have another dataset."""
    runs.end_killed_runs(f"tags.`{TRAINING_ID}` = '{training_id}'")


def _log_training(experiment_id: str, checkpoint: Checkpoint, train_inputs: TrainInputs) -> str:
    """Return the id of a run that has the whole training, and no evaluation yet.

    It is the run that the training has logged, or a new one from the files.
    """
    import mlflow

    started = _runs_of_training(experiment_id, checkpoint.training_id)
    if started and started[0].data.tags.get(STATE) == TRAINED:
        return str(started[0].info.run_id)
    if any(_is_complete(run) for run in started):  # it has another evaluation, and does not change
        checkpoint.renew_training_id()
    else:
        for incomplete in started:
            runs.delete_run(incomplete)
    earlier = _earlier_run(experiment_id, train_inputs.key)
    if earlier is not None and "tags" not in checkpoint.run_info:
        checkpoint.write_run_info(**_read_run_info(earlier))
    with runs.start_run(checkpoint, train_inputs) as run:
        runs.log_inputs(checkpoint, train_inputs)
        runs.log_epochs(_read_epochs(checkpoint, earlier))
        runs.log_training()
        mlflow.set_tag(STATE, TRAINED)
    return str(run.info.run_id)


def _is_complete(run: "mlflow.entities.Run") -> bool:
    """Return whether a run has everything, its evaluation included."""
    return run.data.tags.get(STATE) not in (TRAINING, TRAINED, EVALUATING)


def _earlier_run(experiment_id: str, key: str) -> "mlflow.entities.Run | None":
    """Return the newest complete run of the same training, if any. It may have been deleted."""
    import mlflow

    found = mlflow.MlflowClient().search_runs(
        [experiment_id],
        f"tags.`{TRAINING_KEY}` = '{key}'",
        run_view_type=mlflow.entities.ViewType.ALL,
    )
    return next((run for run in found if _is_complete(run)), None)


def _read_run_info(run: "mlflow.entities.Run") -> dict[str, Any]:
    """Return what a checkpoint knows about its run, read from a run of the same training."""
    import mlflow

    names = (*provenance.TAGS, IMPLEMENTATION)
    tags = {name: run.data.tags[name] for name in names if name in run.data.tags}
    diff = ""
    if DIFF_ARTIFACT in _artifact_sizes(run, ""):
        diff = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{DIFF_ARTIFACT}").rstrip("\n")
    return {"tags": tags, "diff": diff}


def _read_epochs(
    checkpoint: Checkpoint, earlier: "mlflow.entities.Run | None"
) -> list[dict[str, float]]:
    """Return the epochs of the training in `data/train`.

    Their times are in the checkpoint or in an earlier run. Otherwise they are not known: the epochs
    then end at present.
    """
    if checkpoint.state is not None and _has_all_epochs(checkpoint):
        rows = checkpoint.state["epochs"].tolist()
        return [dict(zip(EPOCH_COLUMNS, row, strict=True)) for row in rows]
    history = pd.read_csv(files.HISTORY_FILE)[list(EPOCH_METRICS)].assign(ended=time.time())
    epochs = [dict(zip(history.columns, row, strict=True)) for row in history.to_numpy().tolist()]
    if earlier is not None:
        import mlflow

        for point in mlflow.MlflowClient().get_metric_history(earlier.info.run_id, "seconds"):
            epochs[point.step - 1] |= {"seconds": point.value, "ended": point.timestamp / 1000}
    return epochs


def _has_all_epochs(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint has all epochs of the training in `data/train`."""
    return checkpoint.state is not None and len(checkpoint.state["epochs"]) == len(
        pd.read_csv(files.HISTORY_FILE)
    )


class Missing(NamedTuple):
    """The parts of a complete run that MLflow lacks.

    Attributes:
        metrics: whether metrics of the test set differ from the file.
        params_file: whether the artifact `params.yaml` is gone.
        keras_model: whether the logged Keras model is gone.
        version: whether the text model or the version that was registered from it is gone.
        files: files that are no artifacts or have another size, and their folders there.
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
    logged = {folder: _artifact_sizes(run, folder) for folder in ("", runs.TABLES_ARTIFACT)}
    expected = {
        "": sorted(files.EVALUATE.iterdir()),
        runs.TABLES_ARTIFACT: [
            *sorted(files.METRICS_FOLDER.iterdir()),
            files.INITIAL_GRADIENTS_FILE,
        ],
    }
    models = {model.name for model in runs.logged_models(run) if _has_artifacts(model)}
    has_version = registry.version_of_run(str(run.info.run_id)) is not None
    return Missing(
        metrics=has_other_metrics,
        params_file=runs.PARAMS_ARTIFACT not in logged[""],
        keras_model=runs.KERAS_MODEL not in models,
        version=runs.TEXT_MODEL not in models or not has_version,
        files=[
            (path, folder)
            for folder, paths in expected.items()
            for path in paths
            if has_other_metrics or logged[folder].get(path.name) != path.stat().st_size
        ],
    )


def _log_missing(run: "mlflow.entities.Run", evaluate_inputs: EvaluateInputs) -> None:
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
            runs.log_params_file(evaluate_inputs)
        if missing.keras_model:
            runs.log_training()
        if missing.version:
            runs.register_text_model(evaluate_inputs)
    finally:
        mlflow.end_run()
        mlflow.MlflowClient().set_terminated(
            run.info.run_id, "FINISHED", run.info.end_time or int(1000 * time.time())
        )
    print(f"What run {run.info.run_id} lacked is logged again.")


def _artifact_sizes(run: "mlflow.entities.Run", folder: str) -> dict[str, int | None]:
    """Return the size of each artifact in a folder of a run, by name, in bytes."""
    import mlflow

    found = mlflow.MlflowClient().list_artifacts(run.info.run_id, folder)
    return {Path(artifact.path).name: artifact.file_size for artifact in found}


def _has_artifacts(model: "mlflow.entities.LoggedModel") -> bool:
    import mlflow

    return bool(mlflow.MlflowClient().list_logged_model_artifacts(model.model_id))
