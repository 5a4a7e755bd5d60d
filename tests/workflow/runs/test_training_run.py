"""A training is resumed in its own run; its checkpoints are complete or not used, and go away."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.network.progress import (
    METRICS,
    NO_PROGRESS,
    OnEpoch,
    Progress,
    TrainingResult,
    history_frame,
)
from sentiment.network.training import Training
from tests.conftest import epochs, runs
from tests.project import ROOT
from workflow import files
from workflow.runs import lifecycle, training_run
from workflow.runs.identity import fingerprint
from workflow.runs.logger import RunLogger
from workflow.runs.training_run import FOLDER, TrainingRun, resume


def write(folder: Path, epoch: int) -> None:
    """Keep a state that has the number of its epoch."""
    training_run.write(folder, epoch, {"epoch": np.array(epoch)})


def kept(folder: Path) -> int:
    """The number in the newest state."""
    state = training_run.latest(folder)
    assert state is not None
    return int(state["epoch"])


@pytest.fixture
def folder(in_tmp_path: Path) -> Path:
    path = in_tmp_path / FOLDER / "abc"
    path.mkdir(parents=True)
    return path


def test_two_epochs_are_kept_and_the_newest_is_used_also_after_the_ninth(folder: Path) -> None:
    assert training_run.latest(folder) is None
    for epoch in range(6, 11):
        write(folder, epoch)
        assert kept(folder) == epoch
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-0009", "epoch-0010"]


@pytest.mark.parametrize("damage", ["tampered", "missing", "no description"])
def test_a_damaged_epoch_is_noticed_and_the_one_before_it_used(
    folder: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, 1)
    write(folder, 2)
    file = folder / "epoch-0002" / training_run.STATE
    if damage == "missing":
        file.unlink()
    elif damage == "no description":
        (folder / "epoch-0002" / files.ABOUT).write_text("{", encoding="utf-8")
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert kept(folder) == 1
    assert "A damaged checkpoint is skipped" in capsys.readouterr().out


def test_each_thing_that_shapes_a_training_makes_another_key() -> None:
    shaped = {"params": {"units": 4}, "data": "a", "code": "b", "machine": "c"}
    changed = [{**shaped, name: "other"} for name in shaped]
    assert len({fingerprint(document) for document in [shaped, *changed]}) == 5
    assert fingerprint(shaped) == fingerprint(dict(reversed(shaped.items())))


def test_a_training_that_runs_already_is_refused_and_its_process_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "PATIENCE_SECONDS", 0.1)
    code = "from workflow.runs import training_run; import time\n"
    code += "with training_run.locked('abc'):\n    print('held', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match=f"running already, in process {process.pid}"):
        training_run.locked("abc").__enter__()
    process.terminate()
    monkeypatch.setattr(training_run, "PATIENCE_SECONDS", 60)
    with training_run.locked("abc") as lock:  # it is waited for, since it ends
        assert lock.parent == folder
    process.wait()


def test_what_is_done_or_forgotten_is_removed_unless_a_training_holds_it(folder: Path) -> None:
    forgotten, recent = folder.with_name("old"), folder.with_name("new")
    for other in (forgotten, recent):
        other.mkdir()
    long_ago = time.time() - (training_run.FORGOTTEN_DAYS + 1) * 24 * 3600
    os.utime(forgotten, (long_ago, long_ago))
    with training_run.locked(folder.name) as lock:
        write(lock.parent, 1)
        training_run.clear(folder.name)
        assert kept(folder) == 1
    training_run.clear(folder.name)
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [recent]


class Counting(Training):
    """Stands for a training of three epochs, whose state is their number."""

    def __init__(self, begin: OnEpoch = lambda _: None) -> None:
        self.begin = begin

    def capture(self, progress: Progress) -> dict[str, NDArray[Any]]:
        return {"epoch": np.array(len(progress.epochs))}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Progress:
        return self.progress(int(arrays["epoch"]))

    def progress(self, epochs: int) -> Progress:
        return NO_PROGRESS._replace(
            epochs=[dict.fromkeys(METRICS, 1 / epoch) for epoch in range(1, epochs + 1)]
        )

    def fit(self, progress: Progress, on_epoch: OnEpoch, show: bool = True) -> TrainingResult:
        assert show
        self.begin(progress)
        for epoch in range(len(progress.epochs) + 1, 4):
            on_epoch(self.progress(epoch))
        return TrainingResult(history_frame(self.progress(3).epochs), 3)


def begun() -> AbstractContextManager[TrainingRun]:
    return training_run.training_run("counting", {}, {lifecycle.KEY: "abc"}, with_model=False)


def kill(after: int) -> str:
    """Train until an epoch, then end as a killed process does; return the run's id."""

    def stop(progress: Progress) -> None:
        if len(progress.epochs) == after:
            raise KeyboardInterrupt

    ids: list[str] = []

    def train() -> None:
        with begun() as run:
            ids.append(run.log.run.run_id)
            resume(run, Counting(stop), stop)

    with pytest.raises(KeyboardInterrupt):
        train()
    return ids[0]


@pytest.mark.usefixtures("root_with_store")
@pytest.mark.parametrize(("after", "state"), [(0, "KILLED"), (1, "FINISHED"), (3, "RUNNING")])
def test_a_training_is_resumed_in_its_own_run_whenever_it_is_killed(after: int, state: str) -> None:
    killed = kill(after)
    mlflow.MlflowClient().update_run(killed, state)
    starts: list[int] = []
    with begun() as run:
        assert run.log.run.run_id == killed
        resume(run, Counting(lambda progress: starts.append(len(progress.epochs))))
    assert starts == [after]
    assert epochs(killed) == [1, 2, 3]
    assert [run.info.status for run in runs()] == ["FINISHED"]


@pytest.mark.usefixtures("root_with_store")
def test_an_epoch_that_was_kept_but_not_logged_is_logged_as_the_training_is_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunLogger, "epoch", lambda *_: None)
        killed = kill(2)
    assert epochs(killed) == []
    logged: list[int] = []
    with begun() as run:
        resume(run, Counting(lambda _: logged.extend(epochs(killed))))
    assert logged == [1, 2]


@pytest.mark.usefixtures("root_with_store")
@pytest.mark.parametrize("own", [True, False])
def test_a_training_is_resumed_by_its_lock_s_name_whatever_machine_and_folder_are_called(
    own: bool,
) -> None:
    killed, client = kill(1), mlflow.MlflowClient()
    lock = Path(mlflow.get_run(killed).data.tags[lifecycle.LOCK])
    theirs = f"/elsewhere/{FOLDER}/abc/{lock.name}" if own else lock.with_name("lock-of-theirs")
    client.set_tag(killed, lifecycle.LOCK, str(theirs))
    client.set_tag(killed, lifecycle.HOST, "another-machine")
    client.update_run(killed, "RUNNING")
    with begun() as run:
        assert (run.log.run.run_id == killed) == own
