import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from workflow.signals import Interrupted, raising

from sentiment.errors import UserError
from workflow import cli, files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stage's folder with one array."""
    target = tmp_path / "pad"
    with files.replaced(target) as partial:
        files.write_arrays(partial, {"x": np.arange(6, dtype=np.uint8)})
        files.write_about(partial, {"pad.max_length": 3})
    return target


def test_a_folder_is_read_as_it_was_written(folder: Path) -> None:
    (array,) = files.read_arrays(folder, ["x"])
    assert array.dtype == np.uint8
    assert array.tolist() == [0, 1, 2, 3, 4, 5]
    about = files.read_about(folder)
    assert about["params"] == {"pad.max_length": 3}
    assert about["files"] == {"x.npy": files.sha256(folder / "x.npy")}


@pytest.mark.usefixtures("same_handlers")
def test_a_signal_in_the_swap_leaves_the_new_folder_in_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def killed(source: Path, target: Path) -> Path:
        if source == folder:
            os.kill(os.getpid(), signal.SIGTERM)
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(Interrupted), raising(), files.replaced(folder) as partial:
        (partial / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.npy", b"cut", "is not as the stage wrote it .*SHA-256.*run `dvc repro`"),
        ("x.npy", None, "is missing. `dvc repro` makes it"),
        ("about.json", b"{", "is not as the stage wrote it"),
    ],
)
def test_truncated_tampered_or_missing_file_is_refused(
    folder: Path, name: str, content: bytes | None, problem: str
) -> None:
    path = folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(files.DamagedError, match=rf"{name} {problem}") as raised:
        files.read_arrays(folder, ["x"])
    error = pickle.loads(pickle.dumps(raised.value))  # also in another process
    assert (error.path, error.problem) == (path, raised.value.problem)
    assert str(error) == str(raised.value)


def test_pickled_array_is_refused_even_with_the_right_digest(folder: Path) -> None:
    np.save(folder / "x.npy", np.array([[1], [2, 3]], dtype=object), allow_pickle=True)
    (folder / "about.json").unlink()
    files.write_about(folder, {})
    with pytest.raises(UserError, match=r"x\.npy is not as the stage wrote it"):
        files.read_arrays(folder, ["x"])


def test_failed_block_leaves_the_folder_as_it_was(folder: Path) -> None:
    """Also one that was killed between the two moves."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.rename(folder.with_name(".pad.old"))
    with pytest.raises(ValueError, match="pickle"), files.replaced(folder) as partial:
        files.write_arrays(partial, {"x": np.array([None])})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["pad"]


def test_new_folder_takes_the_place_of_the_old_one_whole(folder: Path) -> None:
    """Nor is anything left of a process that was killed."""
    partial = folder.with_name(".pad.partial")
    partial.mkdir()
    (partial / "half").write_bytes(b"half")
    with files.replaced(folder) as partial:
        (partial / "y.npy").write_bytes(b"new")
    assert [path.name for path in folder.iterdir()] == ["y.npy"]
    assert [path.name for path in folder.parent.iterdir()] == ["pad"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The system calls that matter after a loss of power, as they come, with names of files."""
    calls: list[tuple[str, ...]] = []

    def name_of(descriptor: int) -> str:
        inode = os.fstat(descriptor).st_ino
        paths = [tmp_path, *tmp_path.rglob("*")]
        (path,) = [path for path in paths if path.stat().st_ino == inode]
        return str(path.relative_to(tmp_path))

    def recorded(call: Callable[..., None], names: Callable[..., tuple[str, ...]]) -> None:
        def record(*arguments: object) -> None:
            calls.append((call.__name__, *names(*arguments)))
            call(*arguments)

        monkeypatch.setattr(os, call.__name__, record)

    recorded(os.fsync, lambda descriptor: (name_of(descriptor),))
    for move in (os.rename, os.replace):
        recorded(move, lambda old, new: (Path(old).name, Path(new).name))
    return calls


def test_a_folder_is_on_the_disk_before_it_is_moved_and_then_the_move_is(
    folder: Path, calls: list[tuple[str, ...]]
) -> None:
    with files.replaced(folder) as partial:
        (partial / "x.npy").write_bytes(b"new")
        (partial / "inner").mkdir()
        (partial / "inner" / "y.npy").write_bytes(b"new")
    *flushed, away, here, parent = calls
    names = ["", "/x.npy", "/inner", "/inner/y.npy"]
    assert sorted(flushed) == sorted(("fsync", f".pad.partial{name}") for name in names)
    assert away == ("rename", "pad", ".pad.old")
    assert here == ("rename", ".pad.partial", "pad")
    assert parent == ("fsync", ".")


def test_a_text_is_on_the_disk_before_it_is_moved_and_then_the_move_is(
    tmp_path: Path, calls: list[tuple[str, ...]]
) -> None:
    cli.replace_text(tmp_path / "params.yaml", "new")
    assert calls == [
        ("fsync", ".params.yaml.partial"),
        ("replace", ".params.yaml.partial", "params.yaml"),
        ("fsync", "."),
    ]
