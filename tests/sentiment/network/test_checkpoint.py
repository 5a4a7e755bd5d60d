"""A checkpoint is complete or not used, belongs to one training, and goes away when it is done."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.network import checkpoint
from sentiment.network.checkpoint import Progress
from tests.project import ROOT
from workflow import files


class Variable:
    def __init__(self, value: float) -> None:
        self.value = np.float32(value)

    def numpy(self) -> np.float32:
        return self.value

    def assign(self, value: np.float32) -> None:
        self.value = value


class Model:
    """Stands for a model and its optimizer, of one variable each."""

    trainable_variables: ClassVar[list[Variable]] = []

    def __init__(self, weight: float) -> None:
        self.variables = [Variable(weight)]
        self.optimizer = Optimizer()


class Optimizer:
    def __init__(self) -> None:
        self.variables: list[Variable] = []

    def build(self, _: list[Variable]) -> None:
        self.variables = self.variables or [Variable(0)]


def progress(epochs: int) -> Progress:
    rows = [{"loss": 1 / epoch} for epoch in range(1, epochs + 1)]
    return Progress(rows, {"wait": 1, "best": 0.1}, [np.eye(2, dtype="f"), np.ones(3, "f")])


def write(folder: Path, epoch: int) -> None:
    """Keep the state of a model whose weight is the number of the epoch."""
    checkpoint.write(folder, Model(epoch), progress(epoch))


def weight(folder: Path) -> float:
    """The weight of a model that is resumed from the newest state."""
    newest = checkpoint.latest(folder)
    assert newest is not None
    model = Model(0)
    checkpoint.read(newest, model)
    return float(model.variables[0].value)


@pytest.fixture
def folder(in_tmp_path: Path) -> Path:
    made = in_tmp_path / checkpoint.FOLDER / "abc"
    made.mkdir(parents=True)
    return made


def test_nothing_is_there_at_first(folder: Path) -> None:
    assert checkpoint.latest(folder) is None


def test_the_newest_epoch_is_used_also_after_the_ninth(folder: Path) -> None:
    for epoch in (9, 10):
        write(folder, epoch)
    assert weight(folder) == 10


def test_two_epochs_are_kept(folder: Path) -> None:
    for epoch in range(1, 6):
        write(folder, epoch)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-0004", "epoch-0005"]


@pytest.mark.parametrize("damage", ["truncated", "tampered", "missing", "no description"])
def test_a_damaged_epoch_is_noticed_and_the_one_before_it_used(
    folder: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, 1)
    write(folder, 2)
    file = folder / "epoch-0002" / checkpoint.MODEL
    if damage == "missing":
        file.unlink()
    elif damage == "no description":
        (folder / "epoch-0002" / files.ABOUT).write_text("{", encoding="utf-8")
    else:
        file.write_bytes(file.read_bytes()[:-1] + (b"" if damage == "truncated" else b"x"))
    assert weight(folder) == 1
    assert "A damaged checkpoint is skipped" in capsys.readouterr().out


def test_a_write_that_was_cut_off_leaves_the_epoch_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_about", killed)
    with pytest.raises(KeyboardInterrupt):
        write(folder, 2)
    assert weight(folder) == 1


def test_what_was_kept_is_read_back_exactly(folder: Path) -> None:
    write(folder, 3)
    newest = checkpoint.latest(folder)
    assert newest is not None
    read = checkpoint.read(newest, Model(0))
    assert read.rows == progress(3).rows
    assert read.counters == progress(3).counters
    for mine, its in zip(read.best, progress(3).best, strict=True):
        np.testing.assert_array_equal(mine, its)
        assert mine.dtype == its.dtype


def test_each_thing_that_shapes_a_training_makes_another_key() -> None:
    shaping = {"params": {"units": 4}, "data": "a", "code": "b", "machine": "c"}
    changed = [{**shaping, name: "other"} for name in shaping]
    assert len({checkpoint.key(each) for each in [shaping, *changed]}) == 5
    assert checkpoint.key(shaping) == checkpoint.key(dict(reversed(shaping.items())))


def test_a_training_that_runs_already_is_refused_and_its_process_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "PATIENCE_SECONDS", 0.1)
    code = "from sentiment.network import checkpoint; import time\nwith checkpoint.held('abc'):\n"
    code += "    print('held', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match=f"running already, in process {process.pid}"):
        checkpoint.held("abc").__enter__()
    process.terminate()
    monkeypatch.setattr(checkpoint, "PATIENCE_SECONDS", 60)
    with checkpoint.held("abc") as held:  # it is waited for, since it ends
        assert held == folder
    process.wait()


def test_the_id_of_the_run_is_kept_until_the_checkpoints_are_removed(folder: Path) -> None:
    assert checkpoint.read_run(folder) is None
    checkpoint.write_run(folder, "abc")
    assert checkpoint.read_run(folder) == "abc"
    checkpoint.clear(folder.name)
    folder.mkdir()
    assert checkpoint.read_run(folder) is None


def test_what_is_done_is_removed_and_what_nobody_came_back_for(folder: Path) -> None:
    write(folder, 1)
    forgotten, recent = folder.with_name("old"), folder.with_name("new")
    for other in (forgotten, recent):
        other.mkdir()
    long_ago = time.time() - (checkpoint.FORGOTTEN_DAYS + 1) * 24 * 3600
    os.utime(forgotten, (long_ago, long_ago))
    checkpoint.clear(folder.name)
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [recent]


def test_what_a_training_holds_is_not_removed(folder: Path) -> None:
    with checkpoint.held(folder.name) as held:
        write(held, 1)
        checkpoint.clear(folder.name)
        assert weight(folder) == 1
    checkpoint.clear(folder.name)
    assert not folder.exists()
