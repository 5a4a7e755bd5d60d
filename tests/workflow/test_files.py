import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import UserError
from workflow import cli, files
from workflow.signals import Interrupted, raising


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stage's folder with one array."""
    target = tmp_path / "pad"
    with files.replaced(target) as partial:
        files.write_arrays(partial, {"x": np.arange(6, dtype=np.uint8)})
        files.write_about(partial, {"pad.max_length": 3})
    return target


def test_array_is_read_as_it_was_written(folder: Path) -> None:
    (array,) = files.read_arrays(folder, ["x"])
    assert array.dtype == np.uint8
    assert array.tolist() == [0, 1, 2, 3, 4, 5]


def test_about_names_params_and_digest_of_each_file(folder: Path) -> None:
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


def test_truncated_array_is_refused(folder: Path) -> None:
    path = folder / "x.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError, match=r"x\.npy is not as the stage wrote it.*run `dvc repro`"):
        files.read_arrays(folder, ["x"])


def test_tampered_array_is_refused(folder: Path) -> None:
    path = folder / "x.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(UserError, match="SHA-256"):
        files.read_arrays(folder, ["x"])


def test_missing_array_is_named(folder: Path) -> None:
    (folder / "x.npy").unlink()
    with pytest.raises(UserError, match=r"x\.npy is missing\. `dvc repro` makes it"):
        files.read_arrays(folder, ["x"])


@pytest.mark.parametrize("damage", ["truncated", "tampered", "missing"])
def test_damaged_file_of_any_kind_is_refused(folder: Path, damage: str) -> None:
    path = folder / "model.keras"
    path.write_bytes(b"0123456789")
    files.write_about(folder, {})
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"012345678" if damage == "truncated" else b"012345678x")
    expected = "is missing. `dvc repro`" if damage == "missing" else "is not as the stage wrote it"
    with pytest.raises(UserError, match=rf"model\.keras {expected}"):
        files.checked(path)


def test_pickled_array_is_refused_even_with_the_right_digest(folder: Path) -> None:
    np.save(folder / "x.npy", np.array([[1], [2, 3]], dtype=object), allow_pickle=True)
    (folder / "about.json").unlink()
    files.write_about(folder, {})
    with pytest.raises(UserError, match=r"x\.npy is not as the stage wrote it"):
        files.read_arrays(folder, ["x"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"params": {}}'])
def test_damaged_description_is_refused(folder: Path, text: str) -> None:
    (folder / "about.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"about\.json is not as the stage wrote it"):
        files.read_about(folder)


def test_failed_block_leaves_the_folder_as_it_was(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail() -> None:
        with files.replaced(folder) as partial:
            (partial / "x.npy").write_bytes(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["pad"]


def test_new_folder_takes_the_place_of_the_old_one_whole(folder: Path) -> None:
    with files.replaced(folder) as partial:
        (partial / "y.npy").write_bytes(b"new")
    assert [path.name for path in folder.iterdir()] == ["y.npy"]
    assert [path.name for path in folder.parent.iterdir()] == ["pad"]


def test_folder_is_back_after_a_kill_between_the_two_moves(folder: Path) -> None:
    folder.rename(folder.with_name(".pad.old"))
    with pytest.raises(RuntimeError), files.replaced(folder):
        raise RuntimeError
    assert files.read_arrays(folder, ["x"])[0].tolist() == [0, 1, 2, 3, 4, 5]


def test_leftovers_of_a_killed_process_are_cleared(folder: Path) -> None:
    partial = folder.with_name(".pad.partial")
    partial.mkdir()
    (partial / "half").write_bytes(b"half")
    with files.replaced(folder) as new:
        assert list(new.iterdir()) == []


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "metrics.json", {"loss": float("nan")})


def test_short_digest_depends_on_every_named_array_and_the_part(folder: Path) -> None:
    digests = set()
    for last in (1, 2):
        with files.replaced(folder) as partial:
            files.write_arrays(partial, {"x": np.arange(6), "y": np.array([last])})
            files.write_about(partial, {})
        digests |= {files.short_digest(folder, ["x", "y"])}
        digests |= {files.short_digest(folder, ["x", "y"], slice(0, 3))}
    assert len(digests) == 4
    assert all(len(digest) == 8 for digest in digests)


def test_the_error_for_a_damaged_file_has_its_path_and_problem_in_another_process_too(
    folder: Path,
) -> None:
    (folder / "x.npy").unlink()
    with pytest.raises(files.DamagedError) as raised:
        files.checked(folder / "x.npy")
    error = pickle.loads(pickle.dumps(raised.value))
    assert (error.path, error.problem) == (folder / "x.npy", "is missing")
    assert str(error) == str(raised.value)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The system calls that matter after a loss of power, as they come, with names of files."""
    made: list[tuple[str, ...]] = []

    def name_of(descriptor: int) -> str:
        inode = os.fstat(descriptor).st_ino
        paths = [tmp_path, *tmp_path.rglob("*")]
        (path,) = [path for path in paths if path.stat().st_ino == inode]
        return str(path.relative_to(tmp_path))

    def recorded(call: Callable[..., None], names: Callable[..., tuple[str, ...]]) -> None:
        def record(*arguments: object) -> None:
            made.append((call.__name__, *names(*arguments)))
            call(*arguments)

        monkeypatch.setattr(os, call.__name__, record)

    recorded(os.fsync, lambda descriptor: (name_of(descriptor),))
    for move in (os.rename, os.replace):
        recorded(move, lambda old, new: (Path(old).name, Path(new).name))
    return made


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
