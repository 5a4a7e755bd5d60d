"""Files are written whole or not at all, and verified when they are read."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import UserError
from workflow import files
from workflow.about import About, write_about
from workflow.files import DamagedError, atomic_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a stage's folder with one array."""
    target = tmp_path / "pad"
    with atomic_folder(target) as partial:
        files.write_arrays(partial, {"x": np.arange(6, dtype=np.uint8)})
        write_about(partial, About())
    return target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_array_is_read_as_it_was_written(folder: Path) -> None:
    (array,) = files.read_arrays(folder, ["x"])
    assert array.dtype == np.uint8
    assert array.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.npy", b"cut", "differs from what the stage wrote .*SHA-256.*run `dvc repro`"),
        ("x.npy", None, "is missing. `dvc repro` makes it"),
        ("about.json", b"{", "differs from what the stage wrote"),
        ("about.json", b"[]", "differs from what the stage wrote .it lists no files"),
    ],
)
def test_truncated_tampered_or_missing_file_is_refused(
    folder: Path, name: str, content: bytes | None, problem: str
) -> None:
    path = folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DamagedError, match=rf"{name} {problem}"):
        files.read_arrays(folder, ["x"])


def test_error_about_a_damaged_file_can_be_sent_to_another_process(tmp_path: Path) -> None:
    error = files.missing_error(tmp_path / "x.npy")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.problem, str(copy)) == (error.path, error.problem, str(error))


def test_pickled_array_is_refused_even_with_the_right_digest(folder: Path) -> None:
    np.save(folder / "x.npy", np.array([[1], [2, 3]], dtype=object), allow_pickle=True)
    write_about(folder, About())
    with pytest.raises(UserError, match=r"x\.npy differs from what the stage wrote"):
        files.read_arrays(folder, ["x"])


def test_failed_block_leaves_the_folder_as_it_was(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="pickle"), atomic_folder(folder) as partial:
        files.write_arrays(partial, {"x": np.array([None])})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert names(folder.parent) == ["pad"]


def test_new_folder_replaces_the_old_one_as_a_whole(folder: Path) -> None:
    with atomic_folder(folder) as partial:
        (partial / "y.npy").write_bytes(b"new")
    assert names(folder) == ["y.npy"]
    assert names(folder.parent) == ["pad"]


def test_leftovers_of_a_killed_process_are_removed(folder: Path) -> None:
    partial = folder.with_name(".pad.partial")
    partial.mkdir()
    (partial / "half").write_bytes(b"half")
    with atomic_folder(folder) as partial:
        (partial / "y.npy").write_bytes(b"new")
    assert names(folder) == ["y.npy"]


def test_folder_is_put_back_if_a_process_was_killed_between_the_renames(folder: Path) -> None:
    folder.rename(folder.with_name(".pad.old"))
    with pytest.raises(ZeroDivisionError), atomic_folder(folder):
        raise ZeroDivisionError
    assert names(folder) == ["about.json", "x.npy"]


def test_folder_is_put_back_if_a_signal_comes_between_the_renames(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def interrupt(source: Path, target: Path) -> Path:
        if source.name == ".pad.partial":
            raise KeyboardInterrupt
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt), atomic_folder(folder) as partial:
        (partial / "new").touch()
    assert names(folder) == ["about.json", "x.npy"]
    assert names(folder.parent) == ["pad"]


def test_failed_block_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    path.write_bytes(b"before")

    def write_half() -> None:
        with files.atomic_file(path) as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["state.npz"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Record the system calls that matter after a loss of power, with names of files."""
    calls: list[tuple[str, ...]] = []

    def name_of(descriptor: int) -> str:
        inode = os.fstat(descriptor).st_ino
        paths = [tmp_path, *tmp_path.rglob("*")]
        (path,) = [path for path in paths if path.stat().st_ino == inode]
        return str(path.relative_to(tmp_path))

    def record(call: Callable[..., None], describe: Callable[..., tuple[str, ...]]) -> None:
        def recorded(*arguments: object) -> None:
            calls.append((call.__name__, *describe(*arguments)))
            call(*arguments)

        monkeypatch.setattr(os, call.__name__, recorded)

    record(os.fsync, lambda descriptor: (name_of(descriptor),))
    for move in (os.rename, os.replace):
        record(move, lambda old, new: (Path(old).name, Path(new).name))
    return calls


def test_folder_is_on_the_disk_before_it_is_moved_and_then_the_move_is(
    folder: Path, calls: list[tuple[str, ...]]
) -> None:
    with atomic_folder(folder) as partial:
        (partial / "x.npy").write_bytes(b"new")
        (partial / "inner").mkdir()
        (partial / "inner" / "y.npy").write_bytes(b"new")
    *flushed, away, here, parent = calls
    written = ["", "/x.npy", "/inner", "/inner/y.npy"]
    assert sorted(flushed) == sorted(("fsync", f".pad.partial{name}") for name in written)
    assert away == ("rename", "pad", ".pad.old")
    assert here == ("rename", ".pad.partial", "pad")
    assert parent == ("fsync", ".")


def test_text_is_on_the_disk_before_it_is_moved_and_then_the_move_is(
    tmp_path: Path, calls: list[tuple[str, ...]]
) -> None:
    files.write_text_atomically(tmp_path / "params.yaml", "new")
    assert calls == [
        ("fsync", ".params.yaml.partial"),
        ("replace", ".params.yaml.partial", "params.yaml"),
        ("fsync", "."),
    ]
