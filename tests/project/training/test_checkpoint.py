"""A checkpoint has the state and the run of one training, by a key of all that the bits need."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams
from sentiment.project.files.paths import Project
from sentiment.project.files.records import RunRecord
from sentiment.project.training import checkpoint
from sentiment.project.training.checkpoint import (
    RUN_FILE,
    STATE_FILE,
    Checkpoint,
    exclusive_folder,
    exclusive_key,
    remove_recorded_checkpoints,
    training_key,
)
from tests.full_disk import full_disk
from tests.locks import write_lock
from tests.params import training_params

RECORD = RunRecord(
    run_id="0123",
    fetch=FetchParams(),
    training=training_params(),
    fitted={},
    tags={"mlflow.runName": "default"},
    diff="+x = 1",
    padded_digest="4567",
)
DVC_YAML = """
stages:
  train:
    deps: [data/pad, stages/train.py, network]
"""
MACHINE = {"processor": "Zen 4", "keras": "3.15.1"}


@pytest.fixture
def here(in_tmp_path: Path) -> Project:  # noqa: ARG001
    """Return an empty project, which is the working directory."""
    return Project.here()


@pytest.fixture
def saved(here: Project) -> Checkpoint:
    """Return an empty checkpoint."""
    return Checkpoint(here.checkpoints / "abc")


def write_epoch(saved: Checkpoint, epoch: int) -> None:
    saved.write_state({"epochs": np.array(epoch)})


def read_epoch(saved: Checkpoint) -> int | None:
    state = saved.read_state()
    return None if state is None else int(state["epochs"])


def test_the_run_of_a_training_is_read_back(saved: Checkpoint) -> None:
    assert saved.read_run() is None
    saved.write_run(RECORD)
    assert saved.read_run() == RECORD


def test_the_state_after_the_last_epoch_is_read_back(saved: Checkpoint) -> None:
    assert read_epoch(saved) is None
    write_epoch(saved, 9)
    write_epoch(saved, 10)
    assert read_epoch(saved) == 10


@pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda _: b"", lambda _: b"no"])
@pytest.mark.parametrize("name", [STATE_FILE, RUN_FILE])
def test_a_damaged_file_is_one_message_that_says_what_to_delete(
    saved: Checkpoint, name: str, damage: Callable[[bytes], bytes]
) -> None:
    saved.write_run(RECORD)
    write_epoch(saved, 2)
    path = saved.folder / name
    path.write_bytes(damage(path.read_bytes()))
    read = saved.read_state if name == STATE_FILE else saved.read_run
    with pytest.raises(UserError, match=rf"^{path} is damaged \(.*\)\. Delete {path.parent}"):
        read()


def test_a_changed_number_in_a_state_is_noticed(saved: Checkpoint) -> None:
    saved.write_state({"variable-0": np.arange(100, dtype=np.uint8)})
    path = saved.folder / STATE_FILE
    content = path.read_bytes()
    path.write_bytes(content.replace(bytes(range(100)), bytes([7, *range(1, 100)])))
    assert path.read_bytes() != content
    with pytest.raises(UserError, match="is damaged"):
        saved.read_state()


class Pickled:
    """Creates the file `unpickled` when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (Path("unpickled"),)


def test_a_pickle_in_a_state_is_refused_and_not_unpickled(saved: Checkpoint) -> None:
    saved.write_state({"variable-0": np.array([Pickled()], dtype=object)})
    with pytest.raises(UserError, match="is damaged"):
        saved.read_state()
    assert not Path("unpickled").exists()


def test_a_write_that_fails_leaves_the_previous_state(saved: Checkpoint) -> None:
    write_epoch(saved, 1)
    with full_disk(), pytest.raises(OSError, match="large"):
        write_epoch(saved, 2)
    assert read_epoch(saved) == 1


@pytest.fixture
def stage(here: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project with all that the stage `train` depends on, on `MACHINE`."""
    monkeypatch.setattr(checkpoint, "machine_tags", lambda: MACHINE)
    here.dvc_yaml.write_text(DVC_YAML, encoding="utf-8")
    for name in ("data/pad/x_train.npy", "stages/train.py", "network/model.py"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text("before", encoding="utf-8")
    return here


def test_the_same_files_params_and_machine_have_the_same_key(stage: Project) -> None:
    Path("README.md").touch()  # no dependency of the stage
    before = training_key(stage, training_params())
    Path("README.md").write_text("changed", encoding="utf-8")
    assert training_key(stage, training_params()) == before


@pytest.mark.parametrize("name", ["data/pad/x_train.npy", "stages/train.py", "network/model.py"])
def test_other_arrays_and_other_code_have_another_key(stage: Project, name: str) -> None:
    before = training_key(stage, training_params())
    Path(name).write_text("after", encoding="utf-8")
    assert training_key(stage, training_params()) != before


def test_other_params_have_another_key(stage: Project) -> None:
    assert training_key(stage, training_params(patience=1)) != training_key(
        stage, training_params()
    )


@pytest.mark.parametrize("tag", MACHINE)
def test_another_processor_and_other_packages_have_another_key(
    stage: Project, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    before = training_key(stage, training_params())
    monkeypatch.setattr(checkpoint, "machine_tags", lambda: {**MACHINE, tag: "other"})
    assert training_key(stage, training_params()) != before


def test_two_trainings_do_not_run_in_one_working_copy(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "WAIT_SECONDS", 0.1)
    with (
        exclusive_folder(here),
        pytest.raises(UserError, match=f"in this folder is running: process {os.getpid()}"),
        exclusive_folder(here),
    ):
        pass


def test_two_copies_do_not_train_with_the_checkpoint_of_one_key(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "WAIT_SECONDS", 0.1)
    copies = [Project(tmp_path / name, here.root) for name in ("one", "two")]
    with (
        exclusive_key(copies[0], "abc"),
        exclusive_key(copies[1], "another"),
        pytest.raises(UserError, match=f"is running: process {os.getpid()}"),
        exclusive_key(copies[1], "abc"),
    ):
        pass


def test_a_temporary_copy_of_the_project_trains_beside_it(here: Project, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    with exclusive_folder(here), exclusive_folder(Project(copy, here.root)):
        pass


def test_a_training_that_is_about_to_end_is_waited_for(here: Project) -> None:
    is_held = threading.Event()
    ended = []

    def end_soon() -> None:
        with exclusive_folder(here):
            is_held.set()
            time.sleep(0.1)
            ended.append(True)

    thread = threading.Thread(target=end_soon)
    thread.start()
    is_held.wait()
    with exclusive_folder(here):
        assert ended
    thread.join()


def test_a_checkpoint_is_removed_once_dvc_has_recorded_its_training(
    here: Project, saved: Checkpoint
) -> None:
    other = Checkpoint(here.checkpoints / "other")
    recorded: dict[str, Any] = {"trained_digest": "89ab"}
    for each, record in ((saved, RECORD.model_copy(update=recorded)), (other, RECORD)):
        each.write_run(record)
        write_epoch(each, 2)
    remove_recorded_checkpoints(here)
    assert saved.folder.exists()  # there is no dvc.lock
    write_lock(here, saved.folder / RUN_FILE)
    remove_recorded_checkpoints(here)
    assert not saved.folder.exists()
    assert other.folder.exists()
