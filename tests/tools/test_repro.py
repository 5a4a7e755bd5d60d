"""The commands behind `make`, but for what needs the whole pipeline."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import DEFAULT_PARAMS, ROOT
from tools import repro, venv


def make(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_every_target() -> None:
    output = make().stdout
    for target in (
        "repro",
        "sync",
        "verify",
        "compare",
        "seeds",
        "report",
        "test",
        "check",
        "ui",
        "predict",
        "serve",
        "demo",
        "promote",
        "demote",
        "bench",
        "faults",
        "venv",
        "lock",
    ):
        assert f"make {target} " in output


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (4, 0)])
def test_unsuitable_python_is_one_line(version: tuple[int, int]) -> None:
    with pytest.raises(SystemExit) as raised:
        venv.check_python(*version)
    message = str(raised.value.code)
    assert f"Python {version[0]}.{version[1]} is not suitable" in message
    assert "make PYTHON=" in message
    assert "\n" not in message


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_suitable_pythons_pass(version: tuple[int, int]) -> None:
    venv.check_python(*version)


def test_python_that_is_not_there_is_one_line() -> None:
    done = make("venv", "PYTHON=/nowhere/python3.12")
    assert done.returncode != 0
    assert "there is no /nowhere/python3.12" in done.stderr


def test_missing_venv_module_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "ensurepip" else name
    )
    with pytest.raises(SystemExit) as raised:
        venv.check_venv_module()
    assert "cannot make virtual environments" in str(raised.value.code)
    assert f"python3.{sys.version_info[1]}-venv" in str(raised.value.code)


@pytest.fixture
def lock(in_tmp_path: Path) -> Path:
    """A folder with an empty lock: its environment is built in seconds."""
    (in_tmp_path / "requirements.txt").write_text("", encoding="utf-8")
    return in_tmp_path / "requirements.txt"


def test_environment_is_built_once(lock: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert lock.is_file()
    venv.main()
    assert (venv.VENV / "bin" / "python").exists()
    assert "Building .venv" in capfd.readouterr().out
    venv.main()
    assert capfd.readouterr().out == ""


def test_failed_install_is_one_line_and_leaves_nothing_taken_for_good(
    lock: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    venv.build()
    old_lock = lock.read_bytes()
    lock.write_text("no-such-package==1 --hash=sha256:" + "0" * 64, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"\.venv could not be built"):
        venv.build()
    assert not venv.is_complete()
    assert "no-such-package" in capfd.readouterr().err
    lock.write_bytes(old_lock)
    assert not venv.is_complete()


def test_environment_can_be_rebuilt_from_within(lock: Path) -> None:
    venv.build()
    lock.write_text("# changed", encoding="utf-8")
    inside = [str(venv.VENV / "bin" / "python"), str(ROOT / "tools" / "venv.py")]
    subprocess.run(inside, check=True)
    assert venv.is_complete()


def test_linked_environment_is_not_touched(
    lock: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert lock.is_file()
    other = tmp_path_factory.mktemp("other")
    (other / "complete").write_text("good", encoding="utf-8")
    venv.VENV.symlink_to(other)
    venv.clear()
    assert (other / "complete").read_text(encoding="utf-8") == "good"
    assert not venv.VENV.exists()


def test_changed_lock_or_moved_folder_builds_anew(
    lock: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.VENV.mkdir()
    venv.STAMP.write_text(venv.expected_stamp(), encoding="utf-8")
    assert venv.is_complete()
    moved = lock.parent.rename(tmp_path_factory.mktemp("moved") / "folder")
    monkeypatch.chdir(moved)
    assert not venv.is_complete()
    venv.STAMP.write_text(venv.expected_stamp(), encoding="utf-8")
    Path("requirements.txt").write_text("# changed", encoding="utf-8")
    assert not venv.is_complete()


def test_lock_pins_every_package_with_hashes() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert len(entries) > 50
    assert all("==" in entry and entry.endswith("\\") for entry in entries)


def test_every_direct_dependency_has_its_reason_and_is_locked() -> None:
    source = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in source if line and not line.startswith("#")]
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for line in wanted:
        name, reason = line.split("#")
        assert reason.strip()
        assert f"\n{name.strip().replace('.', '-')}==" in f"\n{locked}"


def test_setting_the_data_set_changes_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = DEFAULT_PARAMS.read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    repro.set_dataset(path, "synthetic")
    after = path.read_text(encoding="utf-8").splitlines()
    changed = [
        (old, new) for old, new in zip(before.splitlines(), after, strict=True) if old != new
    ]
    assert len(changed) == 1
    assert changed[0][1].strip().startswith("dataset: synthetic ")
