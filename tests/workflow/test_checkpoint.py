"""A training's checkpoint is written whole, restored by that training alone, and removed."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import AlreadyRunningError
from sentiment.params import TrainParams
from tests.project import ROOT
from workflow import checkpoint
from workflow.checkpoint import (
    FOLDER,
    STALE_AFTER_DAYS,
    STATE_FILE,
    exclusive_checkpoint,
    remove_checkpoint,
    training_key,
)

pytestmark = pytest.mark.usefixtures("in_tmp_path")
DVC_YAML = """
stages:
  train:
    deps: [data/pad, stages/train.py, network]
"""


def write_epoch(epoch: int, key: str = "abc") -> None:
    with exclusive_checkpoint(key) as saved:
        saved.write_state({"epochs": np.array(epoch)})


def read_epoch(key: str = "abc") -> int | None:
    with exclusive_checkpoint(key) as saved:
        return None if saved.state is None else int(saved.state["epochs"])


def test_the_state_after_the_last_epoch_is_read_back() -> None:
    assert read_epoch() is None
    write_epoch(9)
    write_epoch(10)
    assert read_epoch() == 10


def test_a_training_keeps_its_id_and_facts_however_often_it_resumes() -> None:
    with exclusive_checkpoint("abc") as first:
        first.write_run_info(tags={"git.commit": "0123"})
    with exclusive_checkpoint("abc") as resumed, exclusive_checkpoint("other") as other:
        assert resumed.training_id == first.training_id != other.training_id
        assert resumed.run_info["tags"] == {"git.commit": "0123"}


@pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda _: b"", lambda _: b"no"])
def test_a_damaged_state_starts_a_new_training(
    damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Give it a new id, because its epochs are not those that were logged before."""
    write_epoch(2)
    path = Path(FOLDER, "abc", STATE_FILE)
    with exclusive_checkpoint("abc") as before:
        pass
    path.write_bytes(damage(path.read_bytes()))
    with exclusive_checkpoint("abc") as saved:
        assert saved.state is None
        assert saved.training_id != before.training_id
    assert f"{STATE_FILE} is damaged" in capsys.readouterr().out


def test_a_write_that_fails_leaves_the_previous_state(monkeypatch: pytest.MonkeyPatch) -> None:
    write_epoch(1)

    def fill_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fill_disk)
        with pytest.raises(OSError, match="No space left"):
            write_epoch(2)
    assert read_epoch() == 1


def test_a_training_that_runs_is_not_started_twice() -> None:
    with (
        exclusive_checkpoint("abc"),
        pytest.raises(AlreadyRunningError, match="running already"),
        exclusive_checkpoint("abc", wait_seconds=0.1),
    ):
        pass


def test_a_training_that_is_about_to_end_is_waited_for() -> None:
    is_held = threading.Event()

    def end_soon() -> None:
        with exclusive_checkpoint("abc") as saved:
            is_held.set()
            time.sleep(0.1)
            saved.write_state({"epochs": np.array(1)})

    thread = threading.Thread(target=end_soon)
    thread.start()
    is_held.wait()
    assert read_epoch() == 1
    thread.join()


def test_a_checkpoint_is_removed_with_those_that_were_not_used_for_long() -> None:
    for key in ("done", "stale", "recent"):
        write_epoch(1, key)
    long_ago = time.time() - (STALE_AFTER_DAYS + 1) * 24 * 3600
    os.utime(Path(FOLDER, "stale"), (long_ago, long_ago))
    remove_checkpoint("done")
    assert [path.name for path in Path(FOLDER).glob("*/")] == ["recent"]


@pytest.fixture
def stage(in_tmp_path: Path) -> Path:
    """Make a folder with all that the stage `train` depends on."""
    (in_tmp_path / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    shutil.copy(ROOT / ".dvcignore", in_tmp_path)
    for path in ("data/pad/x_train.npy", "stages/train.py", "network/model.py"):
        (in_tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (in_tmp_path / path).write_text(path, encoding="utf-8")
    return in_tmp_path


def test_the_same_training_has_the_same_key(stage: Path) -> None:
    before = training_key(TrainParams())
    for ignored in ("network/__pycache__/model.pyc", "network/.model.py.swp", "data/pad/.DS_Store"):
        (stage / ignored).parent.mkdir(exist_ok=True)
        (stage / ignored).touch()
    assert training_key(TrainParams()) == before


@pytest.mark.parametrize("path", ["data/pad/x_train.npy", "stages/train.py", "network/new.py"])
def test_other_data_or_code_has_another_key(stage: Path, path: str) -> None:
    before = training_key(TrainParams())
    (stage / path).write_text("changed", encoding="utf-8")
    assert training_key(TrainParams()) != before


@pytest.mark.usefixtures("stage")
def test_other_params_or_another_processor_have_another_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = training_key(TrainParams())
    assert training_key(TrainParams(seed=1)) != before
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "processor_name", lambda: "Other CPU")
        assert training_key(TrainParams()) != before
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=256")
        assert training_key(TrainParams()) != before
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *_: ["GPU:0"])
    assert training_key(TrainParams()) != before


def test_a_processor_without_a_name_is_called_after_its_architecture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "CPU_INFO", Path("absent"))
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert checkpoint.processor_name() == "arm64"
