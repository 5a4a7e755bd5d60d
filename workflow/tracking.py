"""The only module that writes to MLflow runs.

Everything that is logged comes from files, so logging it again changes nothing. The time of an
epoch's point is computed from the history, and MLflow keeps one of equal points. A test metric
keeps the time at which it was first logged. Equal params may be logged again, tags and artifacts
are replaced, a dataset is recorded once, and a model is looked up by its digest before it is
logged. `LiveRun` logs epochs during a training, with the same function that completes a run later.
Only MLflow's system metrics come from no file.

MLflow is called in a thread of its own. Signals interrupt the main thread only, so no signal can
cut a database transaction short and leave the database locked.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache, wraps
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import pandas as pd
from numpy.typing import NDArray

from sentiment.errors import StoreError, first_line
from sentiment.gradients import as_metric
from workflow import files, store
from workflow.about import AboutTrain
from workflow.files import TRAIN
from workflow.outputs import MODEL_DIGEST, DatasetRecord, RunRecord

if TYPE_CHECKING:
    import mlflow
    from matplotlib.figure import Figure
    from mlflow.entities import Metric
    from mlflow.entities.model_registry import ModelVersion

TRAINING_ID = "training.id"  # tag by which a training's run is found, in whatever store
COMPLETE = "outputs.{}"  # tag by stage: digest of about.json if the run has all files
KERAS_MODEL = "model"  # the name of the logged Keras model
TRAINING_FILES = ("gradients.csv", "history.csv", "metrics.json")
DIFF_FILE = "train/uncommitted.diff"
INITIAL_GRADIENT_NORM = "initial_gradient_norm"  # the step is the distance to the last word
GRADIENT_NORM = "gradient_norm"
SERVING_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "mlflow")  # needed to serve a model
SYNC_REMEDY = "Run `make sync` later to log the rest."
STORE_THREAD = "tracking-store"  # start of the name of the thread that calls MLflow

P = ParamSpec("P")
T = TypeVar("T")


class Run(NamedTuple):
    """A run in the tracking store."""

    run_id: str
    name: str
    experiment_id: str

    @property
    def url(self) -> str:
        return store.run_url(self.experiment_id, self.run_id)

    def describe(self) -> str:
        """Return the id, the name and the page as two lines."""
        return f"Run {self.run_id}: {self.name}\n{self.url}"


@cache
def _store_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=STORE_THREAD)


def calls_store(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that uses MLflow: it runs in MLflow's thread and raises `StoreError`.

    Raises:
        StoreError: MLflow or its database failed.
    """

    def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        with store.store_errors():
            return function(*args, **kwargs)

    @wraps(function)
    def in_store_thread(*args: P.args, **kwargs: P.kwargs) -> T:
        if threading.current_thread().name.startswith(STORE_THREAD):
            return translated(*args, **kwargs)
        return _store_thread().submit(translated, *args, **kwargs).result()

    return in_store_thread


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 10**6


def _client() -> "mlflow.MlflowClient":
    import mlflow

    return mlflow.MlflowClient()


# Finding and starting runs


@calls_store
def find_run(training_id: str) -> Run | None:
    """Return the run of a training, or None if the tracking store has none."""
    found = _find(store.connect(), training_id)
    return _as_run(found) if found else None


@calls_store
def find_run_by_id(run_id: str) -> Run | None:
    """Return the run with this id, or None if the tracking store has none or it was deleted."""
    from mlflow.exceptions import MlflowException

    store.connect()
    try:
        run = _client().get_run(run_id)
    except MlflowException as error:
        if error.error_code not in store.NOT_FOUND_CODES:
            raise
        return None
    return _as_run(run) if run.info.lifecycle_stage == "active" else None


@calls_store
def read_tags(run: Run) -> dict[str, str]:
    """Return all tags of a run."""
    return dict(_client().get_run(run.run_id).data.tags)


def _find(experiment_id: str, training_id: str) -> "mlflow.entities.Run | None":
    filter_string = f"tags.`{TRAINING_ID}` = '{training_id}'"
    return next(iter(_client().search_runs([experiment_id], filter_string, max_results=1)), None)


@calls_store
def get_run(run_id: str) -> Run:
    """Return the run with this id.

    Raises:
        StoreError: the tracking store has no such run, or cannot be used.
    """
    run = find_run_by_id(run_id)
    if run is None:
        raise StoreError(f"The tracking store has no run {run_id}. Use an id that `make ui` shows.")
    return run


def _as_run(run: "mlflow.entities.Run") -> Run:
    return Run(str(run.info.run_id), str(run.info.run_name), str(run.info.experiment_id))


def _find_or_create(record: RunRecord, params: Mapping[str, Any]) -> "mlflow.entities.Run":
    """Return the run of a training, with everything that is known before its first epoch."""
    from mlflow.entities import Param, RunTag

    experiment_id = store.connect()
    client = _client()
    tags = {**record.tags, TRAINING_ID: record.training_id}
    run = _find(experiment_id, record.training_id) or client.create_run(
        experiment_id, start_time=record.started, tags=tags, run_name=record.name
    )
    client.log_batch(
        run.info.run_id,
        params=[Param(name, str(value)) for name, value in params.items()],
        tags=[RunTag(*tag) for tag in tags.items()],
    )
    for dataset in record.datasets:
        log_dataset(_as_run(run), dataset)
    return run


@calls_store
def _start_training_run(record: RunRecord, params: Mapping[str, Any]) -> Run:
    run = _find_or_create(record, params)
    if run.info.status != "RUNNING":
        _client().update_run(run.info.run_id, status="RUNNING")
    return _as_run(run)


@calls_store
def _end_training_run(training_id: str, status: str) -> None:
    run = _find(store.connect(), training_id)
    if run and run.info.status == "RUNNING":  # otherwise `publish` has completed it
        _client().set_terminated(run.info.run_id, status)


class LiveRun:
    """The run of a training in progress.

    If the tracking store fails, this is printed once with `remedy`. Nothing more is logged, and the
    training continues.
    """

    def __init__(self, record: RunRecord, params: Mapping[str, Any], remedy: str) -> None:
        self.record = record
        self.remedy = remedy
        self.store_error: StoreError | OSError | None = None
        self._epochs_logged = 0
        self.run = self.attempt(_start_training_run, record, params)

    @property
    def has_store_failed(self) -> bool:
        return self.store_error is not None

    def attempt(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call a function that writes to the store, unless the store has failed before."""
        if self.has_store_failed:
            return None
        try:
            return write(*args, **kwargs)
        except (StoreError, OSError) as error:
            self.store_error = error
            print(
                f"Nothing more is logged to MLflow. {self.remedy} ({first_line(error)})",
                file=sys.stderr,
                flush=True,
            )
            return None

    def log_epochs(self, history: pd.DataFrame) -> None:
        """Log the epochs of a history that were not logged yet.

        Args:
            history: see `sentiment.network.progress.TrainingResult`.
        """
        if self.run is None:
            return
        new = history["epoch"] > self._epochs_logged
        self.attempt(log_points, self.run, epoch_points(history, self.record.started, new))
        self._epochs_logged = len(history)


@calls_store
def _start_system_metrics(run: Run) -> Any:
    """Let MLflow log system metrics to a run from a thread of its own, if its variable is set.

    `mlflow.start_run` does so as well, but it also ends the run, at another time than the training.

    Returns:
        MLflow's `SystemMetricsMonitor`, or None if the variable is not set.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():  # type: ignore[no-untyped-call]
        return None
    monitor: Any = SystemMetricsMonitor(run.run_id, resume_logging=True)  # type: ignore[no-untyped-call]
    monitor.start()
    return monitor


@calls_store
def _stop_system_metrics(monitor: Any) -> None:
    monitor.finish()


@contextmanager
def live_run(
    record: RunRecord, params: Mapping[str, Any], remedy: str = SYNC_REMEDY
) -> Iterator[LiveRun]:
    """Start the run of a training, or resume it.

    If the block fails, the run ends as FAILED. If a signal interrupts the block, the run ends as
    KILLED. If the block succeeds, the caller or `workflow.publish` ends the run.

    Args:
        remedy: how to log the rest after a failure of the store, for the message.
    """
    run: LiveRun | None = None
    monitor: Any = None
    try:
        run = LiveRun(record, params, remedy)
        if run.run:
            monitor = run.attempt(_start_system_metrics, run.run)
        yield run
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        if run is None or not run.has_store_failed:
            try:
                _end_training_run(record.training_id, status)
            except (StoreError, OSError) as store_error:
                print(
                    f"The run stays RUNNING in MLflow: {first_line(store_error)}", file=sys.stderr
                )
        raise
    finally:
        if monitor:
            _stop_system_metrics(monitor)


@contextmanager
def plain_run(name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Run]:
    """Create a run that trains nothing, and end it with the block.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    run = _create_plain_run(name, params, tags)
    try:
        yield run
    except BaseException as error:
        with suppress(StoreError):  # the first error is more useful
            end_run(run, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    end_run(run, "FINISHED")


@calls_store
def _create_plain_run(name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Run:
    experiment_id = store.connect()  # must come before the client, which keeps the URI
    run = _as_run(_client().create_run(experiment_id, tags=dict(tags), run_name=name))
    log_params(run, params)
    return run


@calls_store
def end_run(run: Run, status: str, end_time: int | None = None) -> None:
    """End a run with a status of MLflow; `end_time` is in milliseconds since 1970."""
    _client().set_terminated(run.run_id, status, end_time)


@calls_store
def find_or_create_parent_run(tag: str, value: str, name: str) -> Run:
    """Find or create the parent run whose tag has this value, and give it this name.

    A parent run trains nothing. If it does not exist, it is created with the status FINISHED. Hold
    a lock: nothing else prevents two processes from creating one each.
    """
    experiment_id = store.connect()
    client = _client()
    found = client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'", max_results=1)
    run = found[0] if found else client.create_run(experiment_id, tags={tag: value})
    if run.info.status != "FINISHED":
        client.set_terminated(run.info.run_id)
    if run.info.run_name != name:
        client.update_run(run.info.run_id, name=name)
    return Run(str(run.info.run_id), name, experiment_id)


@calls_store
def end_runs_left_running(parent: Run, tag: str) -> None:
    """Set the status of a parent's RUNNING child runs to KILLED.

    Call this only if no process trains them any more.

    Args:
        parent: the parent run.
        tag: tag of a child run, with the id of its parent.
    """
    client = _client()
    filter_string = f"tags.`{tag}` = '{parent.run_id}' AND attributes.status = 'RUNNING'"
    for run in client.search_runs([parent.experiment_id], filter_string):
        client.set_terminated(run.info.run_id, "KILLED")


# Completing runs from files


@calls_store
def complete_training(record: RunRecord, about: AboutTrain) -> tuple[Run, str]:
    """Log everything in `data/train` that a run lacks, and end the run at its training's end.

    Returns:
        The run, and the id of its logged Keras model.

    Raises:
        StoreError: the tracking store cannot be used.
        DamagedError: a file was changed.
    """
    from sentiment.serving.keras_classifier import load_keras_model

    digest = about.files["model.keras"]
    found = _find(store.connect(), record.training_id)
    if found and found.info.status == "FINISHED" and has_all_outputs(_as_run(found), TRAIN):
        model_id = find_ready_model(_as_run(found), KERAS_MODEL, digest)
        if model_id:
            return _as_run(found), model_id
    run = _as_run(_find_or_create(record, about.flat_params()))
    history = pd.read_csv(files.verified(TRAIN / "history.csv"))
    model_path = files.verified(TRAIN / "model.keras")
    # The model comes first: the points that are logged after it are linked to it.
    model_id = log_model(
        run,
        KERAS_MODEL,
        digest,
        about.flat_params(),
        lambda model_id: _log_keras_model(load_keras_model(model_path), model_id),
    )
    gradients = pd.read_csv(files.verified(TRAIN / "gradients.csv"))
    log_points(run, epoch_points(history, record.started, model_id=model_id))
    log_points(run, gradient_points(gradients, INITIAL_GRADIENT_NORM, record.started, model_id))
    log_files(run, TRAIN, TRAINING_FILES, TRAIN.name)
    if record.uncommitted:
        _client().log_text(run.run_id, f"{record.uncommitted}\n", DIFF_FILE)
    log_tags(run, {MODEL_DIGEST: digest})
    end_run(run, "FINISHED", record.ended)
    mark_complete(run, TRAIN)
    return run, model_id


def _log_keras_model(model: Any, model_id: str) -> None:
    import mlflow
    import numpy as np

    with redirect_stdout(StringIO()):  # MLflow tries the example, and Keras prints a progress bar
        mlflow.tensorflow.log_model(
            model,
            name=KERAS_MODEL,
            model_id=model_id,
            input_example=np.zeros((1, model.input_shape[1]), np.int32),  # no review leaves data/
            pip_requirements=serving_requirements(),
        )


def serving_requirements(packages: Sequence[str] = SERVING_PACKAGES) -> list[str]:
    """Return the pinned packages that serve a model. MLflow takes 14 s to infer them."""
    return [f"{package}=={version(package)}" for package in packages]


@calls_store
def log_evaluation(
    run: Run,
    folder: Path,
    metrics: Mapping[str, float],
    dataset: DatasetRecord,
    model_id: str | None,
) -> None:
    """Log an evaluation to a run: its metrics, its dataset and all files of its folder.

    Args:
        folder: what `workflow.outputs.write_evaluation` wrote, with its `about.json`.
        metrics: values by name, without a step.
        dataset: the evaluated dataset.
        model_id: the logged model that was evaluated, if there is one.
    """
    log_dataset(run, dataset)
    log_metrics(run, metrics, dataset, model_id)
    names = files.read_digests(folder)
    log_files(run, folder, [*names, files.ABOUT_FILE], "evaluate")


@calls_store
def has_all_outputs(run: Run, folder: Path) -> bool:
    """Return whether a run has everything in a folder as it is now."""
    about = folder / files.ABOUT_FILE
    tags = _client().get_run(run.run_id).data.tags
    return about.exists() and tags.get(COMPLETE.format(folder.name)) == files.sha256(about)


@calls_store
def mark_complete(run: Run, folder: Path) -> None:
    """Tag a run that has everything in a folder as it is now.

    Args:
        run: the run.
        folder: the folder, whose name is that of the stage that writes it.
    """
    log_tags(run, {COMPLETE.format(folder.name): files.sha256(folder / files.ABOUT_FILE)})


# Points, tags, datasets, files and models


def epoch_points(
    history: pd.DataFrame,
    started: int,
    rows: "pd.Series[bool] | None" = None,
    model_id: str | None = None,
) -> "list[Metric]":
    """Return a point for each metric of each epoch.

    The time of a point is the start of the training plus the seconds of all epochs so far. It
    therefore follows from the history alone, and a point that is logged again is the same point.

    Args:
        history: see `sentiment.network.progress.TrainingResult`.
        started: milliseconds since 1970.
        rows: the epochs to return points of; by default all.
        model_id: the logged model that the points are of.
    """
    times = started + (1000 * history["seconds"].cumsum()).astype(int)
    if rows is not None:
        history = history[rows]
        times = times[rows]
    return _points(history.set_index("epoch"), times.tolist(), model_id)


def gradient_points(
    gradients: pd.DataFrame, metric: str, moment: int, model_id: str | None
) -> "list[Metric]":
    """Return a point for each distance of a table of gradients; its step is the distance."""
    table = as_metric(gradients, metric)
    return _points(table, [moment] * len(table), model_id)


def _points(table: pd.DataFrame, times: Sequence[int], model_id: str | None) -> "list[Metric]":
    from mlflow.entities import Metric

    return [
        Metric(name, float(value), int(moment), int(step), model_id)
        for name in table.columns
        for step, value, moment in zip(table.index, table[name], times, strict=True)
    ]


@calls_store
def log_points(run: Run, points: "Sequence[Metric]") -> None:
    """Log points of metrics; MLflow takes 1,000 at once."""
    for start in range(0, len(points), 1000):
        _client().log_batch(run.run_id, points[start : start + 1000])


@calls_store
def log_metrics(
    run: Run,
    values: Mapping[str, float],
    dataset: DatasetRecord | None = None,
    model_id: str | None = None,
) -> None:
    """Log metrics without a step, at the present time.

    If the latest logged value is the same, its time is used again, so that no second point appears.
    """
    from mlflow.entities import Metric

    client = _client()
    now = now_ms()
    points = []
    dataset_reference = (dataset.name, dataset.digest) if dataset else (None, None)
    for name, value in values.items():
        logged = client.get_metric_history(run.run_id, name)
        latest = max(logged, key=lambda point: point.timestamp, default=None)
        moment = latest.timestamp if latest and latest.value == value else now
        points.append(Metric(name, value, moment, 0, model_id, *dataset_reference))
    log_points(run, points)


@calls_store
def log_params(run: Run, params: Mapping[str, Any]) -> None:
    """Log params by dotted name. Logged again, a param must have the same value."""
    from mlflow.entities import Param

    logged = [Param(name, str(value)) for name, value in params.items()]
    _client().log_batch(run.run_id, params=logged)


@calls_store
def log_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    from mlflow.entities import RunTag

    _client().log_batch(run.run_id, tags=[RunTag(*tag) for tag in tags.items()])


def describe_arrays(
    name: str, context: str, x: NDArray[Any], y: NDArray[Any], source: Path, digest: str
) -> DatasetRecord:
    """Describe token ids, shape (reviews, length), and labels, shape (reviews,), for MLflow."""
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.numpy_dataset import from_numpy

    origin = get_dataset_source_from_json(json.dumps({"uri": str(source)}), "local")
    described = from_numpy(x, targets=y, source=origin, name=name, digest=digest).to_dict()
    return DatasetRecord(
        context=context,
        name=name,
        digest=digest,
        reviews=len(y),
        source_type=described["source_type"],
        source=described["source"],
        dataset_schema=described["schema"],
        profile=described["profile"],
    )


def describe_file(name: str, context: str, source: str, digest: str, reviews: int) -> DatasetRecord:
    """Describe a file of texts for MLflow."""
    origin = json.dumps({"uri": source})
    return DatasetRecord(
        context=context,
        name=name,
        digest=digest,
        reviews=reviews,
        source_type="local",
        source=origin,
    )


@calls_store
def log_dataset(run: Run, record: DatasetRecord) -> None:
    """Record that a run uses a dataset. MLflow keeps one record of each."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        record.name,
        record.digest,
        record.source_type,
        record.source,
        record.dataset_schema,
        record.profile,
    )
    context = InputTag("mlflow.data.context", record.context)
    _client().log_inputs(run.run_id, [DatasetInput(dataset, [context])])


@calls_store
def log_model_inputs(run: Run, versions: "Sequence[ModelVersion]") -> None:
    """Record that a run uses registered models. MLflow keeps one record of each."""
    from mlflow.entities import LoggedModelInput

    models = [LoggedModelInput(model_id_of(version)) for version in versions]
    _client().log_inputs(run.run_id, models=models)


def model_id_of(version: "ModelVersion") -> str:
    """Return the id of a version's logged model. MLflow's search does not return it."""
    return str(version.source).removeprefix("models:/")


@calls_store
def log_files(run: Run, folder: Path, names: Sequence[str], artifact_path: str) -> None:
    """Log files of a folder as artifacts of a run.

    Raises:
        DamagedError: a file was changed.
    """
    client = _client()
    for name in names:
        if name != files.ABOUT_FILE:
            files.verified(folder / name)
        client.log_artifact(run.run_id, str(folder / name), artifact_path)


@calls_store
def log_text(run: Run, text: str, artifact_path: str) -> None:
    """Log a text as an artifact of a run."""
    _client().log_text(run.run_id, text, artifact_path)


@calls_store
def log_figure(run: Run, figure: "Figure", artifact_path: str) -> None:
    """Log a figure of Matplotlib as an artifact of a run."""
    _client().log_figure(run.run_id, figure, artifact_path, save_kwargs={"bbox_inches": "tight"})


@calls_store
def find_ready_model(run: Run, name: str, digest: str) -> str | None:
    """Return the id of a run's complete logged model, or None if the run has no such model."""
    from mlflow.entities import LoggedModelStatus

    for model in _models(run, name):
        if model.tags.get(MODEL_DIGEST) == digest and model.status == LoggedModelStatus.READY:
            return str(model.model_id)
    return None


@calls_store
def log_model(
    run: Run,
    name: str,
    digest: str,
    params: Mapping[str, Any],
    log: Callable[[str], object],
) -> str:
    """Log a model of a run, unless the run has it.

    Args:
        run: the run.
        name: name of the logged model.
        digest: digest of everything that the model's predictions depend on.
        params: params by dotted name.
        log: calls MLflow's `log_model` of a flavor, given the id of the logged model.

    Returns:
        The id of the logged model.
    """
    import mlflow
    from mlflow.entities import LoggedModelOutput

    if model_id := find_ready_model(run, name, digest):
        return model_id
    client = _client()
    for model in _models(run, name):
        if model.tags.get(MODEL_DIGEST) == digest:  # its logging was interrupted
            client.delete_logged_model(model.model_id)
    created = mlflow.initialize_logged_model(
        name,
        source_run_id=run.run_id,
        tags={MODEL_DIGEST: digest},
        params={key: str(value) for key, value in params.items()},
        experiment_id=run.experiment_id,
    )
    client.log_outputs(run.run_id, [LoggedModelOutput(created.model_id, step=0)])
    log(created.model_id)
    return str(created.model_id)


def _models(run: Run, name: str) -> "list[mlflow.entities.LoggedModel]":
    filter_string = f"source_run_id = '{run.run_id}' AND name = '{name}'"
    return list(_client().search_logged_models([run.experiment_id], filter_string))
