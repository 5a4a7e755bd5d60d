"""A run says how its training went, whatever happened to the training, its process or the store."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from filelock import FileLock
from mlflow.entities import LoggedModelOutput, RunInfo

from tests.conftest import curve, epochs
from workflow import signals
from workflow.runs import identity, lifecycle
from workflow.runs.logger import Run, RunLogger

pytestmark = pytest.mark.usefixtures("root_with_store")
HISTORY = pd.DataFrame({"loss": [0.7, 0.5, 0.4], "seconds": [2.0, 1.0, 1.5]}, index=[1, 2, 3])
BEGUN = 1_700_000_000_000
MOMENTS = [BEGUN + 2000, BEGUN + 3000, BEGUN + 4500]
LOCK = Path("lock")
HERE = socket.gethostname()


def started(
    params: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
    run_id: str | None = None,
    name: str = "lstm-4",
) -> AbstractContextManager[RunLogger]:
    which = f"attributes.run_id = '{run_id}'" if run_id else ""
    return lifecycle.start_run(name, params or {}, tags or {}, LOCK, which, BEGUN)


def broken(
    error: type[BaseException] = KeyboardInterrupt, tags: dict[str, str] | None = None
) -> Run:
    """A run that broke after its first epoch."""
    runs: list[Run] = []

    def train() -> None:
        with started({"train.units": 4}, tags) as log:
            runs.append(log.run)
            log.epoch(1, {"loss": 0.7})
            raise error

    with pytest.raises(error):
        train()
    return runs[0]


def info(run: Run) -> RunInfo:
    return mlflow.get_run(run.run_id).info


def tags_of(run: Run) -> dict[str, str]:
    return dict(mlflow.get_run(run.run_id).data.tags)


def left_running(run: Run, lock: Path, host: str = HERE) -> None:
    """Let the store say that a process that has `lock` writes to the run."""
    client = mlflow.MlflowClient()
    client.update_run(run.run_id, "RUNNING")
    client.set_tag(run.run_id, lifecycle.LOCK, str(lock.resolve()))
    client.set_tag(run.run_id, lifecycle.HOST, host)


def test_run_that_ends_well_is_finished_with_params_tags_and_the_name_of_its_process() -> None:
    with started({"train.units": 4}, {"dataset": "imdb"}) as log:
        assert info(log.run).status == "RUNNING"
    ended = mlflow.get_run(log.run.run_id)
    said = (ended.info.status, ended.info.start_time, ended.info.run_name, ended.data.params)
    assert said == ("FINISHED", BEGUN, "lstm-4", {"train.units": "4"})
    process = {"id": str(os.getpid()), "host": HERE, "lock": str(LOCK.resolve())}
    tags = {"dataset": "imdb", **{f"process.{name}": text for name, text in process.items()}}
    assert tags.items() <= ended.data.tags.items()


@pytest.mark.parametrize(
    ("error", "expected"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_run_that_ends_otherwise_says_how_and_keeps_its_epochs(
    error: type[BaseException], expected: str
) -> None:
    run = broken(error)
    assert info(run).status == expected
    assert curve(run.run_id) == [(1, 0.7)]
    model = mlflow.get_logged_model(run.model_id)
    assert model.status == "FAILED"
    assert [(metric.key, metric.step) for metric in model.metrics or []] == [("loss", 1)]


@pytest.mark.parametrize(
    ("lock", "host", "locked", "resumed"),
    [
        (LOCK, HERE, True, True),  # this process took over its lock
        (Path("moved"), "before", False, True),  # its machine got another name
        (Path("copy"), HERE, True, False),  # a copy of the folder writes to it
    ],
)
def test_a_run_is_resumed_unless_another_process_writes_to_it(
    lock: Path, host: str, locked: bool, resumed: bool
) -> None:
    killed = broken()
    left_running(killed, lock, host)
    held = FileLock(lock) if locked else nullcontext()
    with held, started({"train.units": 4}, {"dataset": "imdb"}, killed.run_id) as log:
        assert (log.run == killed) == resumed
        assert (log.begun, info(log.run).status) == (BEGUN, "RUNNING")
    assert info(killed).status == ("FINISHED" if resumed else "RUNNING")
    assert tags_of(killed)[lifecycle.HOST] == HERE
    assert tags_of(log.run)["dataset"] == "imdb"


def test_a_finished_run_stays_finished_when_completing_it_breaks() -> None:
    with started() as first:
        pass
    before = info(first.run)
    mlflow.finalize_logged_model(first.run.model_id, "READY")
    with pytest.raises(KeyboardInterrupt), started(run_id=first.run.run_id):
        raise KeyboardInterrupt
    after = info(first.run)
    assert (after.status, after.end_time) == ("FINISHED", before.end_time)
    assert mlflow.get_logged_model(first.run.model_id).status == "READY"


@pytest.mark.parametrize("cut_off", ["before it had a model", "as its model was logged"])
def test_a_run_without_a_usable_entry_for_its_model_gets_another(cut_off: str) -> None:
    killed, client = broken(), mlflow.MlflowClient()
    if cut_off == "before it had a model":
        client.delete_tag(killed.run_id, "model.id")
    else:
        client.log_outputs(killed.run_id, [LoggedModelOutput(killed.model_id, step=1)])
    with started({"train.units": 4}, run_id=killed.run_id) as log:
        assert log.run.run_id == killed.run_id
        assert log.run.model_id != killed.model_id
        log.curves(HISTORY, MOMENTS)
    assert not log.lost
    assert tags_of(killed)["model.id"] == log.run.model_id
    model = mlflow.get_logged_model(log.run.model_id)
    assert {m.step for m in model.metrics or [] if m.key == "loss"} == {1, 2, 3}
    assert epochs(killed.run_id) == [1, 2, 3]


def test_curves_get_the_points_that_they_lack_and_link_those_of_the_run_alone_as_they_are() -> None:
    with started() as log:
        client = mlflow.MlflowClient()
        for _ in range(2):  # an epoch that is trained again
            log.epoch(2, {"loss": 0.5, "seconds": 1.0})
        # as a process that is killed between MLflow's two transactions leaves it
        client.log_metric(log.run.run_id, "seconds", 0.9, step=3)
        for _ in range(2):
            log.curves(HISTORY, MOMENTS)
    assert curve(log.run.run_id) == [(1, 0.7), (2, 0.5), (3, 0.4)]
    assert curve(log.run.run_id, "seconds") == [(1, 2.0), (2, 1.0), (3, 0.9)]
    points = client.get_metric_history(log.run.run_id, "loss")
    assert {p.step: p.timestamp - BEGUN for p in points if p.step != 2} == {1: 2000, 3: 4500}
    linked = mlflow.get_logged_model(log.run.model_id).metrics or []
    assert {m.step: m.value for m in linked if m.key == "seconds"} == {1: 2.0, 2: 1.0, 3: 0.9}


def test_a_store_that_fails_meanwhile_is_reported_once_and_ends_nothing(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    with started() as log:
        log.epoch(1, {"loss": 0.7})
        (root / "mlflow.db").rename(root / "elsewhere")
        (root / "mlflow.db").write_bytes(b"no database" * 100)
        for epoch in (2, 3):
            log.epoch(epoch, {"loss": 0.5})
        assert log.lost
        said = capsys.readouterr().err
        (root / "elsewhere").rename(root / "mlflow.db")
    assert said.count("cannot be used") == 1
    assert said.count("`make sync` completes it later") == 1
    assert "Traceback" not in said


HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_is_running_as_long_as_its_process_is() -> None:
    run, command = broken(), [sys.executable, "-c", HOLD, str(LOCK)]
    left_running(run, LOCK)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lifecycle.end_abandoned_runs()
        assert info(run).status == "RUNNING"
        holder.kill()  # and not waited for: a zombie is no process
        while lifecycle.is_held(LOCK):
            time.sleep(0.01)
        lifecycle.end_abandoned_runs()
        assert info(run).status == "KILLED"


@pytest.mark.parametrize(("host", "expected"), [(HERE, "KILLED"), ("another", "RUNNING")])
def test_a_run_whose_lock_is_gone_is_killed_unless_it_is_another_machine_s(
    host: str, expected: str
) -> None:
    run = broken()
    left_running(run, Path("moved-away"), host)
    lifecycle.end_abandoned_runs()
    assert info(run).status == expected


@pytest.mark.usefixtures("same_handlers")
def test_an_error_that_a_signal_led_to_is_no_failure_of_the_run() -> None:
    """TensorFlow may lose what is raised and fail in another way."""

    runs: list[Run] = []

    def train() -> None:
        with signals.raising(), started() as log:
            runs.append(log.run)
            with suppress(signals.Interrupted):
                os.kill(os.getpid(), signal.SIGTERM)
            raise TypeError

    with pytest.raises(signals.Interrupted):
        train()
    assert info(runs[0]).status == "KILLED"


def test_a_long_diff_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "git", lambda *_: "-before\n+after")
    assert identity.uncommitted_diff() == "-before\n+after"
    monkeypatch.setattr(identity, "DIFF_BYTES", 7)
    assert identity.uncommitted_diff() == "-before\n[cut after 7 bytes]\n"
