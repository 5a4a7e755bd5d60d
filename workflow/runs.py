"""MLflow's run of a training: logged while it trains, completed by its evaluation, or made anew.

The tag `state` says what a run has: `training`, `trained`, `evaluating`, or the digest of the
evaluation that it has completely. A complete run does not change, except that what was deleted in
MLflow is logged again. A run that is not complete, and that no training resumes, is replaced by a
new one, which is made from the files of the pipeline.
"""

import hashlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from sentiment.errors import AlreadyRunningError, StoreError, UserError, first_line
from sentiment.network.batches import train_validation_split
from sentiment.network.training import EPOCH_METRICS
from sentiment.params import flatten, flatten_used
from workflow import checkpoint, files, provenance, registry, store
from workflow.checkpoint import Checkpoint
from workflow.files import EvaluateSections, FetchSections, PadSections, TrainSections
from workflow.params_file import load_params
from workflow.stage import Interrupted

if TYPE_CHECKING:
    import mlflow

KERAS_MODEL = "model"  # name of the logged Keras model
# Tags of a run
TRAINING_ID = "training.id"  # see `workflow.checkpoint.Checkpoint`
TRAINING_KEY = "training.key"  # see `workflow.checkpoint.training_key`
TRAINING_PATH = "train.path"  # "fast LSTM", or "stock Keras" and the reason
STATE_TAG = "state"
# Values of `STATE_TAG`
TRAINING = "training"
TRAINED = "trained"
EVALUATING = "evaluating"
# Artifacts
TABLES_ARTIFACT = "metrics"
PARAMS_ARTIFACT = "params.yaml"
DIFF_ARTIFACT = "uncommitted.diff"
# Curves over the distance from the last word
INITIAL_GRADIENT_NORM = "gradients/initial_norm"
GRADIENT_NORM = "gradients/norm"
PUBLISH_WAIT_SECONDS = 60.0  # another evaluation of the same training takes seconds
LATER = (
    "Run `sentiment sync` later to log the rest; for a DVC experiment, `dvc exp apply` it first."
)


class LoggedRun(NamedTuple):
    """A run in the store."""

    run_id: str
    name: str
    experiment_id: str

    def describe(self) -> str:
        """Return the id, the name and the page as two lines."""
        return f"Run {self.run_id}: {self.name}\n{store.run_url(self.experiment_id, self.run_id)}"


# While a training runs


class LiveRun:
    """The run of a training in progress. If the store fails, the training continues without it."""

    def __init__(self) -> None:
        self.works = True
        self._epochs_logged = 0

    def attempt(self, log: Callable[..., object], *arguments: Any) -> None:
        """Call a function that uses MLflow, unless MLflow has failed before."""
        if not self.works:
            return
        try:
            log(*arguments)
        except Exception as error:  # databases, servers and artifact stores have their own kinds
            self.works = False
            print(
                f"Nothing more is logged to MLflow. {LATER} ({first_line(error)})",
                file=sys.stderr,
                flush=True,
            )
            with suppress(Exception):  # MLflow would try again when the process exits
                import mlflow

                mlflow.end_run("FAILED")

    def log_epochs(self, epochs: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs that this process has not logged yet."""
        self.attempt(log_epochs, epochs, self._epochs_logged)
        self._epochs_logged = len(epochs)


def log_epochs(epochs: Sequence[Mapping[str, float]], first: int = 0) -> None:
    """Log a point for each metric of each epoch to the active run.

    MLflow keeps one of equal points, so epochs may be logged again.

    Args:
        epochs: see `sentiment.network.training.EPOCH_COLUMNS`; `seconds` may be missing.
        first: number of epochs to leave out.
    """
    import mlflow

    for step, epoch in enumerate(epochs[first:], first + 1):
        values = {name: epoch[name] for name in (*EPOCH_METRICS, "seconds") if name in epoch}
        mlflow.log_metrics(values, step=step, timestamp=int(1000 * epoch["ended"]))


@contextmanager
def live_run(saved: Checkpoint, sections: TrainSections, path: str) -> Iterator[LiveRun]:
    """Start the run of a training, or resume it.

    If the block succeeds, the files of the training are logged and the run is FINISHED. If a signal
    interrupts it, the run is KILLED. If it fails, the run is FAILED.

    Args:
        saved: the checkpoint of the training.
        sections: what the training depends on.
        path: how the model is trained, see `sentiment.network.training.Training`.
    """
    import mlflow

    if "tags" not in saved.facts:
        tags = {**provenance.provenance_tags(), TRAINING_PATH: path}
        saved.write_facts(tags=tags, diff=provenance.uncommitted_diff())
    live = LiveRun()
    live.attempt(_start_run, saved, sections)
    try:
        yield live
    except BaseException as error:
        live.attempt(mlflow.end_run, "KILLED" if isinstance(error, Interrupted) else "FAILED")
        raise
    live.attempt(_log_training)
    live.attempt(mlflow.set_tag, STATE_TAG, TRAINED)
    live.attempt(mlflow.end_run)


def _start_run(saved: Checkpoint, sections: TrainSections) -> None:
    """Start or resume the run of a training, with all that is known before the first epoch."""
    import mlflow

    experiment_id = registry.connect_trainings(sections.fetch.name)
    found = _find(experiment_id, f"tags.`{TRAINING_ID}` = '{saved.training_id}'")
    facts = saved.facts
    tags = {
        TRAINING_ID: saved.training_id,
        TRAINING_KEY: sections.key,
        STATE_TAG: TRAINING,
        **facts.get("tags", {}),
    }
    name = provenance.run_name(sections.fetch, sections.pad, sections.train)
    experiment = facts.get("tags", {}).get("dvc.experiment")
    mlflow.start_run(
        run_id=found[0].info.run_id if found else None,
        run_name=provenance.SEPARATOR.join(filter(None, [name, experiment])),
        tags=tags,
        description=f"A training of the stage `train` on `{sections.fetch.name}`.",
    )
    mlflow.log_params(flatten_used(sections.fetch, sections.pad, sections.train))
    mlflow.log_dict(sections.model_dump(exclude={"key"}), PARAMS_ARTIFACT)
    if facts.get("diff"):
        mlflow.log_text(f"{facts['diff']}\n", DIFF_ARTIFACT)
    x = files.read_array(files.PAD / "x_train.npy")
    y = files.read_array(files.PAD / "y_train.npy")
    splits = train_validation_split(x, y, sections.train.validation_split)
    for context, split in zip(("training", "validation"), splits, strict=True):
        log_dataset(sections, context, split.x, split.y)


def _find(experiment_id: str, filter_string: str) -> "list[mlflow.entities.Run]":
    """Return the runs of an experiment that a filter selects, the newest first."""
    import mlflow

    return list(mlflow.MlflowClient().search_runs([experiment_id], filter_string))


def log_dataset(sections: TrainSections, context: str, x: Any, y: Any) -> None:
    """Record that the active run uses a split.

    Args:
        sections: what the training depends on.
        context: training, validation or test.
        x: token ids, shape (reviews, max_length).
        y: labels, shape (reviews,).
    """
    import mlflow
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.numpy_dataset import from_numpy

    source = get_dataset_source_from_json(f'{{"uri": "{files.PAD}"}}', "local")
    name = f"{sections.fetch.name}-{context}"
    mlflow.log_input(from_numpy(x, source, y, name=name), context)


def _log_training() -> None:
    """Log the files of a finished training to the active run. It may have some already."""
    import mlflow
    import numpy as np

    from sentiment.prediction.keras_classifier import load_keras_model

    _delete_models(_active_run(), KERAS_MODEL)
    model = load_keras_model(files.MODEL_FILE)
    with redirect_stdout(StringIO()):  # MLflow tries the example, and Keras prints a progress bar
        mlflow.tensorflow.log_model(
            model,
            name=KERAS_MODEL,
            input_example=np.zeros((1, model.input_shape[1]), np.int32),  # no review leaves data/
            pip_requirements=registry.serving_requirements(),
        )
    summary = files.read_json(files.TRAINING_METRICS_FILE)
    # Under the name of a curve, a summary would be a point more.
    mlflow.log_metrics(
        {name: value for name, value in summary.items() if name not in EPOCH_METRICS}
    )
    _log_gradients(INITIAL_GRADIENT_NORM, files.INITIAL_GRADIENTS_FILE)
    for path in (files.TRAINING_METRICS_FILE, files.HISTORY_FILE, files.INITIAL_GRADIENTS_FILE):
        mlflow.log_artifact(str(path), TABLES_ARTIFACT)


def _log_gradients(name: str, path: Path) -> None:
    """Log the mean gradient at each distance as a metric. The step is the distance.

    MLflow keeps one of equal points. These have the time of the run's start, so that they are
    equal if they are logged again.
    """
    import mlflow
    from mlflow.entities import Metric

    run = _active_run()
    table = pd.read_csv(path)
    points = [
        Metric(name, float(mean), run.info.start_time, int(distance))
        for distance, mean in zip(table["distance"], table["mean"], strict=True)
    ]
    for start in range(0, len(points), 1000):  # MLflow takes 1,000 at once
        mlflow.MlflowClient().log_batch(run.info.run_id, points[start : start + 1000])


def _active_run() -> "mlflow.entities.Run":
    import mlflow

    run = mlflow.active_run()
    assert run is not None  # the callers have one
    return run


# Afterwards


def publish() -> LoggedRun:
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
    with (
        store.store_errors(),
        checkpoint.exclusive_checkpoint(trained.key, PUBLISH_WAIT_SECONDS) as saved,
    ):
        experiment_id = registry.connect_trainings(trained.fetch.name)
        if evaluated is None:
            run = _trained_run(experiment_id, saved, trained)
        else:
            run = _evaluated_run(experiment_id, saved, evaluated)
            checkpoint.remove_checkpoint(trained.key)
    return LoggedRun(str(run.info.run_id), str(run.info.run_name), experiment_id)


def publish_or_explain() -> LoggedRun | None:
    """Publish, or print what to do if the store fails."""
    try:
        return publish()
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
    experiment_id: str, saved: Checkpoint, trained: TrainSections
) -> "mlflow.entities.Run":
    """Return the run of a training without an evaluation. Log it if it is not complete."""
    is_trained = f"tags.`{TRAINING_KEY}` = '{trained.key}' AND tags.{STATE_TAG} != '{TRAINING}'"
    found = _find(experiment_id, is_trained)
    return found[0] if found else _log_whole_run(experiment_id, saved, trained, None)


def _evaluated_run(
    experiment_id: str, saved: Checkpoint, evaluated: EvaluateSections
) -> "mlflow.entities.Run":
    """Return the run of an evaluated training. Log what it lacks, and decide about its version."""
    import mlflow

    digest = _evaluation_digest(evaluated)
    own = _find(experiment_id, f"tags.`{TRAINING_ID}` = '{saved.training_id}'")
    is_complete = f"tags.`{TRAINING_KEY}` = '{evaluated.key}' AND tags.{STATE_TAG} = '{digest}'"
    complete = _find(experiment_id, is_complete)
    # If the checkpoint's training did not end, the files come from another one with the same key.
    is_from_checkpoint = bool(own) and _has_all_epochs(saved)
    if complete and (not is_from_checkpoint or own[0].info.run_id == complete[0].info.run_id):
        run = complete[0]
        for interrupted in own:
            if interrupted.info.status == "RUNNING" and interrupted.info.run_id != run.info.run_id:
                mlflow.MlflowClient().set_terminated(interrupted.info.run_id, "KILLED")
        _log_what_was_lost(run, evaluated)
    else:
        run = _log_whole_run(experiment_id, saved, evaluated, digest)
    version = registry.version_of_run(str(run.info.run_id))
    assert version is not None  # it was registered above
    registry.decide(version, evaluated, load_params().promote.alpha)
    return run


def _evaluation_digest(evaluated: EvaluateSections) -> str:
    """Return a digest of the predictions in `data/evaluate` and of the params of the evaluation."""
    params = evaluated.evaluate.model_dump_json().encode()
    return hashlib.sha256(files.PREDICTIONS_FILE.read_bytes() + params).hexdigest()[:16]


def _log_whole_run(
    experiment_id: str, saved: Checkpoint, trained: TrainSections, digest: str | None
) -> "mlflow.entities.Run":
    """Continue the run of a finished training, or make a new run, until it has everything.

    Args:
        experiment_id: the experiment of the run.
        saved: the checkpoint of the training.
        trained: what the training depends on, and its evaluation, if there is one.
        digest: digest of the evaluation. None: the training was not evaluated yet.
    """
    import mlflow

    own = _find(experiment_id, f"tags.`{TRAINING_ID}` = '{saved.training_id}'")
    is_trained = bool(own) and own[0].data.tags.get(STATE_TAG) == TRAINED
    try:
        if is_trained:
            mlflow.start_run(run_id=own[0].info.run_id)
        else:
            for incomplete in own:
                _delete_run(incomplete)
            _start_run(saved, trained)
            log_epochs(_read_epochs(saved))
            _log_training()
            mlflow.set_tag(STATE_TAG, TRAINED)
        if isinstance(trained, EvaluateSections) and digest is not None:
            _log_evaluation(trained)
            mlflow.set_tag(STATE_TAG, digest)
        run = _active_run()
    except BaseException:
        with suppress(Exception):
            mlflow.end_run("FAILED")
        raise
    mlflow.end_run()
    return mlflow.get_run(run.info.run_id)


def _delete_run(run: "mlflow.entities.Run") -> None:
    """Delete a run that is not complete, with its versions and logged models."""
    import mlflow

    client = mlflow.MlflowClient()
    for version in client.search_model_versions(f"run_id = '{run.info.run_id}'"):
        client.delete_model_version(version.name, version.version)
    _delete_models(run, KERAS_MODEL, registry.TEXT_MODEL)
    client.delete_run(run.info.run_id)


def _delete_models(run: "mlflow.entities.Run", *names: str) -> None:
    import mlflow

    for model in _logged_models(run):
        if model.name in names:
            mlflow.MlflowClient().delete_logged_model(model.model_id)


def _logged_models(run: "mlflow.entities.Run") -> "list[mlflow.entities.LoggedModel]":
    import mlflow

    filter_string = f"source_run_id = '{run.info.run_id}'"
    found = mlflow.MlflowClient().search_logged_models([run.info.experiment_id], filter_string)
    return list(found)


def _read_epochs(saved: Checkpoint) -> list[dict[str, float]]:
    """Return the epochs, with the present as their times if the checkpoint lacks them."""
    from sentiment.network.training import EPOCH_COLUMNS

    if saved.state is not None and _has_all_epochs(saved):
        rows = saved.state["epochs"].tolist()
        return [dict(zip(EPOCH_COLUMNS, row, strict=True)) for row in rows]
    history = pd.read_csv(files.HISTORY_FILE)[list(EPOCH_METRICS)].assign(ended=time.time())
    return [dict(zip(history.columns, row, strict=True)) for row in history.to_numpy().tolist()]


def _has_all_epochs(saved: Checkpoint) -> bool:
    """Return whether a checkpoint has all epochs of the training in `data/train`."""
    return saved.state is not None and len(saved.state["epochs"]) == len(
        pd.read_csv(files.HISTORY_FILE)
    )


def _log_evaluation(evaluated: EvaluateSections) -> None:
    """Log the files of an evaluation to the active run, and register the model."""
    import mlflow

    mlflow.set_tag(STATE_TAG, EVALUATING)
    mlflow.log_params(flatten(evaluated.evaluate, "evaluate"))
    mlflow.log_dict(evaluated.model_dump(exclude={"key"}), PARAMS_ARTIFACT)
    x = files.read_array(files.PAD / "x_test.npy")
    y = files.read_array(files.PAD / "y_test.npy")
    log_dataset(evaluated, "test", x, y)
    metrics = files.read_json(files.TEST_METRICS_FILE)
    mlflow.log_metrics(metrics)
    _log_gradients(GRADIENT_NORM, files.GRADIENTS_FILE)
    mlflow.log_artifacts(str(files.EVALUATE))
    mlflow.log_artifacts(str(files.METRICS_FOLDER), TABLES_ARTIFACT)
    model_uri = registry.log_text_model(evaluated)
    registry.register_version(model_uri, evaluated, metrics["test_accuracy"])


def _log_what_was_lost(run: "mlflow.entities.Run", evaluated: EvaluateSections) -> None:
    """Log again what a complete run lacks: somebody deleted it, or the evaluation's code is newer.

    The status and the end of the run stay as they are.
    """
    import mlflow

    metrics = files.read_json(files.TEST_METRICS_FILE)
    has_old_metrics = any(run.data.metrics.get(name) != metrics[name] for name in metrics)
    logged = {folder: _artifact_names(run, folder) for folder in ("", TABLES_ARTIFACT)}
    paths = [
        (path, folder)
        for source, folder in ((files.EVALUATE, ""), (files.METRICS_FOLDER, TABLES_ARTIFACT))
        for path in sorted(source.iterdir())
        if has_old_metrics or path.name not in logged[folder]
    ]
    lacks_params = PARAMS_ARTIFACT not in logged[""]
    models = {model.name for model in _logged_models(run) if _has_artifacts(model)}
    version = registry.version_of_run(str(run.info.run_id))
    lacks_version = registry.TEXT_MODEL not in models or version is None
    if not paths and not lacks_params and KERAS_MODEL in models and not lacks_version:
        if run.info.status != "FINISHED":  # the process was killed before it could say so
            mlflow.MlflowClient().set_terminated(run.info.run_id)
        return
    mlflow.start_run(run_id=run.info.run_id)
    try:
        if has_old_metrics:
            mlflow.log_metrics(metrics)
        for path, folder in paths:
            mlflow.log_artifact(str(path), folder or None)
        if lacks_params:
            mlflow.log_dict(evaluated.model_dump(exclude={"key"}), PARAMS_ARTIFACT)
        if KERAS_MODEL not in models:
            _log_training()
        if lacks_version:
            _delete_models(run, registry.TEXT_MODEL)
            model_uri = registry.log_text_model(evaluated)
            registry.register_version(model_uri, evaluated, metrics["test_accuracy"])
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


def find_run(run_id: str) -> "mlflow.entities.Run":
    """Return the run with this id.

    Raises:
        UserError: the store has no such run.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in store.NOT_FOUND_CODES:
            raise
        raise UserError(f"The tracking store has no run {run_id}.") from None
