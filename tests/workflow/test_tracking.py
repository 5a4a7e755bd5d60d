"""A run is a projection of files: logging is idempotent, and the run's status is right."""

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import LoggedModelStatus, RunInfo

from sentiment.errors import StoreError
from sentiment.network.progress import METRICS
from tests.conftest import curve, runs
from tests.project import wait_until
from tests.workflow.registry.submitting import write_evaluation
from workflow import store, tracking
from workflow.commands import Interrupted, exit_with_message
from workflow.files import DamagedError
from workflow.outputs import RunRecord
from workflow.params import Params
from workflow.tracking import Run, live_run, plain_run

pytestmark = pytest.mark.usefixtures("root_with_store")

STARTED = 1_700_000_000_000
RECORD = RunRecord(
    training_id="abc",
    name="lstm-4",
    started=STARTED,
    tags={"dataset": "imdb"},
    datasets=[tracking.describe_file("imdb-training", "training", "data/pad", "12345678", 80)],
    uncommitted="",
)
PARAMS = {"train.units": 4}
NO_DATABASE = b"no database" * 100


def history(*seconds: float) -> pd.DataFrame:
    """Return a history with an epoch for each of these durations."""
    epochs = range(1, len(seconds) + 1)
    table = pd.DataFrame({name: [1 / epoch for epoch in epochs] for name in METRICS})
    return table.assign(epoch=epochs, seconds=seconds)


def info() -> RunInfo:
    (run,) = runs()
    return run.info


def points(metric: str) -> list[tuple[int, int]]:
    """Return the step, and the milliseconds since the training's start, of each point."""
    logged = mlflow.MlflowClient().get_metric_history(info().run_id, metric)
    return sorted((point.step, point.timestamp - STARTED) for point in logged)


def fail(error: type[BaseException], trained: pd.DataFrame) -> None:
    """Fail a training after it has logged some epochs."""

    def train() -> None:
        with live_run(RECORD, PARAMS) as run:
            run.log_epochs(trained)
            raise error

    with pytest.raises(error):
        train()


def test_live_run_has_params_tags_datasets_and_each_epoch_as_it_ends() -> None:
    with live_run(RECORD, PARAMS) as run:
        for seconds in ([2.0], [2.0, 1.5]):
            run.log_epochs(history(*seconds))
            assert len(points("loss")) == len(seconds)
        (logged,) = runs()
    assert (logged.info.status, logged.info.start_time) == ("RUNNING", STARTED)
    assert logged.info.run_name == "lstm-4"
    assert logged.data.params == {"train.units": "4"}
    assert logged.data.tags["dataset"] == "imdb"
    assert logged.data.tags["training.id"] == "abc"
    assert logged.inputs
    assert [used.dataset.name for used in logged.inputs.dataset_inputs] == ["imdb-training"]
    assert points("val_accuracy") == [(1, 2000), (2, 3500)]


def test_resumed_training_continues_its_run_and_each_epoch_is_there_once() -> None:
    fail(KeyboardInterrupt, history(2.0))
    assert info().status == "KILLED"
    with live_run(RECORD, PARAMS) as run:
        assert info().status == "RUNNING"
        run.log_epochs(history(2.0))  # as the checkpoint has it
        run.log_epochs(history(2.0, 1.0))
    assert points("loss") == [(1, 2000), (2, 3000)]


def test_system_metrics_are_logged_during_a_training_and_after_its_resumption(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metric = "system/cpu_utilization_percentage"
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")

    def has_points(number: int) -> bool:
        return len(curve(info().run_id, metric)) >= number

    with live_run(RECORD, PARAMS):
        wait_until(partial(has_points, 1))
    with live_run(RECORD, PARAMS):
        wait_until(partial(has_points, 10))
    threads = [thread.name for thread in threading.enumerate()]
    assert "SystemMetricsMonitor" not in threads
    steps = [step for step, _ in curve(info().run_id, metric)]
    assert steps == list(range(len(steps)))


def test_another_training_has_another_run() -> None:
    for training_id in ("abc", "def"):
        with live_run(RECORD.model_copy(update={"training_id": training_id}), PARAMS):
            pass
    assert len(runs()) == 2


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_run_has_the_status_of_a_failed_or_interrupted_training(
    error: type[BaseException], status: str
) -> None:
    fail(error, history(2.0))
    assert info().status == status


@pytest.mark.usefixtures("default_signals")
def test_signal_while_mlflow_writes_ends_the_run_as_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Complete the transaction: cut short, it would leave SQLite locked."""
    log_batch = mlflow.MlflowClient.log_batch

    def interrupted(*args: Any, **kwargs: Any) -> None:
        if kwargs.get("metrics") or len(args) > 2:
            os.kill(os.getpid(), signal.SIGTERM)
        log_batch(*args, **kwargs)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", interrupted)
    with (
        pytest.raises(Interrupted),
        exit_with_message("train", "`dvc repro`"),
        live_run(RECORD, PARAMS) as run,
    ):
        run.log_epochs(history(2.0))
    assert info().status == "KILLED"
    assert points("loss") == [(1, 2000)]


def test_signal_after_the_run_was_completed_leaves_it_finished() -> None:
    def train() -> None:
        with live_run(RECORD, PARAMS) as live:
            assert live.run
            tracking.end_run(live.run, "FINISHED")  # as `publish` does
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert info().status == "FINISHED"


Failure = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def damaged_store(root: Path) -> Iterator[None]:
    """Damage the database until the context ends."""
    database = root / "mlflow.db"
    intact = database.read_bytes()
    database.write_bytes(NO_DATABASE)
    yield
    database.write_bytes(intact)


@contextmanager
def locked_store(root: Path) -> Iterator[None]:
    """Lock the database until the context ends, as another program does."""
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.rollback()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (damaged_store, "file is not a database"),
        # MLflow waits for 20 seconds.
        pytest.param(locked_store, "database is locked", marks=pytest.mark.slow),
    ],
)
def test_store_that_fails_midway_is_reported_once_and_no_epoch_is_lost(
    root: Path, capsys: pytest.CaptureFixture[str], failure: Failure, reason: str
) -> None:
    with live_run(RECORD, PARAMS) as run:
        run.log_epochs(history(2.0))
        with failure(root):
            run.log_epochs(history(2.0, 1.0))
            run.log_epochs(history(2.0, 1.0, 1.0))
        assert run.has_store_failed
    printed = capsys.readouterr().err
    assert printed.count("Nothing more is logged to MLflow. Run `make sync` later") == 1
    assert reason in printed
    assert "Traceback" not in printed
    assert curve(info().run_id) == [(1, 1.0)]


def test_store_that_is_unreachable_from_the_start_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/")
        with live_run(RECORD, PARAMS) as run:
            run.log_epochs(history(2.0))
    assert run.run is None
    assert run.has_store_failed
    assert capsys.readouterr().err.count("does not answer") == 1


def test_error_of_the_training_is_raised_even_if_the_store_fails_with_it(root: Path) -> None:
    def train() -> None:
        with live_run(RECORD, PARAMS):
            (root / "mlflow.db").write_bytes(NO_DATABASE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()


def new_run() -> Run:
    with plain_run("evaluation", {}, {}) as run:
        return run


def test_plain_run_ends_with_its_block() -> None:
    with plain_run("ensemble", {"ensemble.runs": "a, b"}, {"dataset": "imdb"}) as run:
        assert info().status == "RUNNING"
    (logged,) = runs()
    assert logged.info.status == "FINISHED"
    assert logged.info.run_id == run.run_id
    assert logged.data.params == {"ensemble.runs": "a, b"}


def test_plain_run_fails_with_its_block() -> None:
    with pytest.raises(ZeroDivisionError), plain_run("ensemble", {}, {}):
        raise ZeroDivisionError
    assert info().status == "FAILED"


def test_plain_run_needs_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/")
    with pytest.raises(StoreError, match="does not answer"), plain_run("ensemble", {}, {}):
        pass


def test_parent_run_is_created_once_and_finished() -> None:
    parent = tracking.find_or_create_parent_run("key", "a", "parent")
    assert info().status == "FINISHED"
    renamed = tracking.find_or_create_parent_run("key", "a", "another name")
    assert renamed.run_id == parent.run_id
    assert info().run_name == "another name"


def test_child_runs_of_a_parent_that_are_left_running_end_as_killed() -> None:
    parent = tracking.find_or_create_parent_run("key", "a", "parent")
    client = mlflow.MlflowClient()
    tags = {"mlflow.parentRunId": parent.run_id}
    running = client.create_run(parent.experiment_id, tags=tags).info.run_id
    finished = client.create_run(parent.experiment_id, tags=tags).info.run_id
    client.set_terminated(finished)
    other = client.create_run(parent.experiment_id).info.run_id
    tracking.end_runs_left_running(parent, "mlflow.parentRunId")
    statuses = [client.get_run(run_id).info.status for run_id in (running, finished, other)]
    assert statuses == ["KILLED", "FINISHED", "RUNNING"]


def test_metric_that_is_logged_again_stays_one_point_unless_it_changed() -> None:
    run = new_run()
    for value in (0.8, 0.8, 0.9, 0.8, 0.8):
        tracking.log_metrics(run, {"test_accuracy": value})
    history = mlflow.MlflowClient().get_metric_history(run.run_id, "test_accuracy")
    assert sorted(point.value for point in history) == [0.8, 0.8, 0.9]
    assert mlflow.get_run(run.run_id).data.metrics == {"test_accuracy": 0.8}


def test_more_points_than_mlflow_takes_at_once_are_all_logged() -> None:
    run = new_run()
    tracking.log_points(run, tracking.epoch_points(history(*[1.0] * 201), STARTED))
    for metric in METRICS:
        assert [step for step, _ in curve(run.run_id, metric)] == list(range(1, 202))


def test_file_that_was_changed_is_not_logged(tmp_path: Path, default_params: Params) -> None:
    folder = write_evaluation(tmp_path / "evaluate", default_params, correct=1)
    (folder / "metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DamagedError, match=r"metrics\.json"):
        tracking.log_files(new_run(), folder, ["metrics.json"], "evaluate")


def test_run_lacks_the_outputs_of_a_folder_that_was_written_again(
    tmp_path: Path, default_params: Params
) -> None:
    run = new_run()
    folder = write_evaluation(tmp_path / "before" / "evaluate", default_params, correct=1)
    assert not tracking.has_all_outputs(run, folder)
    tracking.mark_complete(run, folder)
    assert tracking.has_all_outputs(run, folder)
    again = write_evaluation(tmp_path / "after" / "evaluate", default_params, correct=2)
    assert not tracking.has_all_outputs(run, again)


def test_run_is_found_by_its_id_unless_it_was_deleted() -> None:
    run = new_run()
    assert tracking.get_run(run.run_id) == run
    mlflow.delete_run(run.run_id)
    with pytest.raises(StoreError, match=f"has no run {run.run_id}"):
        tracking.get_run(run.run_id)


def log_dummy_model(run: Run, digest: str = "abc") -> str:
    """Log a model without files."""
    return tracking.log_model(run, "model", digest, {"train.units": 4}, finalize)


def finalize(model_id: str) -> None:
    mlflow.finalize_logged_model(model_id, "READY")


def test_model_is_logged_once_and_linked_to_its_run_and_its_metrics() -> None:
    run = new_run()
    model_id = log_dummy_model(run)
    assert log_dummy_model(run) == model_id
    tracking.log_points(run, tracking.epoch_points(history(2.0), STARTED, model_id=model_id))
    logged = mlflow.get_logged_model(model_id)
    assert logged.source_run_id == run.run_id
    assert logged.params == {"train.units": "4"}
    assert {(metric.key, metric.step) for metric in logged.metrics or []} >= {("val_accuracy", 1)}
    outputs = mlflow.get_run(run.run_id).outputs
    assert outputs
    assert [output.model_id for output in outputs.model_outputs] == [model_id]


def test_points_that_were_logged_before_the_model_are_linked_without_duplicates() -> None:
    run = new_run()
    tracking.log_points(run, tracking.epoch_points(history(2.0, 1.0), STARTED))
    model_id = log_dummy_model(run)
    for _ in range(2):
        points = tracking.epoch_points(history(2.0, 1.0), STARTED, model_id=model_id)
        tracking.log_points(run, points)
    assert curve(run.run_id) == [(1, 1.0), (2, 0.5)]
    linked = [
        metric.step
        for metric in (mlflow.get_logged_model(model_id).metrics or [])
        if metric.key == "loss"
    ]
    assert sorted(linked) == [1, 2]


def test_model_whose_logging_was_interrupted_is_replaced() -> None:
    run = new_run()

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tracking.log_model(run, "model", "abc", {}, interrupt)
    model_id = log_dummy_model(run)
    found = mlflow.MlflowClient().search_logged_models([run.experiment_id])
    assert [(model.model_id, model.status) for model in found] == [
        (model_id, LoggedModelStatus.READY)
    ]


def test_another_model_of_the_same_run_is_another_logged_model() -> None:
    run = new_run()
    assert log_dummy_model(run, "abc") != log_dummy_model(run, "def")


def test_error_of_mlflow_becomes_a_store_error() -> None:
    store.connect()
    with pytest.raises(StoreError, match="cannot be used"):
        tracking.log_tags(Run("0" * 32, "lost", "1"), {"a": "b"})
