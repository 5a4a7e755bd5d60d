"""Build `.venv` from wheels made here, by the uv of the environment that runs the tests."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.project import ROOT
from tools import venv

REAL_UV = f'#!/bin/sh\nexec "{shutil.which("uv", path=str(Path(sys.executable).parent))}" "$@"\n'
FAILING_UV = """#!/bin/sh
touch "$(dirname "$0")/../half-installed"
echo 'no room' >&2
exit 2
"""


def test_unsuitable_python_is_one_line() -> None:
    for minor in (11, 12, 13):
        venv.check_python(3, minor)
    for minor in (10, 14):
        with pytest.raises(SystemExit, match=rf"3\.{minor} is not suitable.* make PYTHON="):
            venv.check_python(3, minor)


def write_wheel(folder: Path, name: str, file: str, content: str) -> str:
    """Write a wheel with one file, and return its entry in a lock."""
    info = f"{name}-1.dist-info"
    contents = {
        file: content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*contents, f"{info}/RECORD"))
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in contents.items():
            entry = zipfile.ZipInfo(member)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    hashes = (f" \\\n    --hash=sha256:{digits}" for digits in ("0" * 64, digest))
    return f"{name}==1{''.join(hashes)}\n"


@pytest.fixture
def wheels(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder from which pip and uv take packages."""
    folder = in_tmp_path / "wheels"
    folder.mkdir()
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(in_tmp_path / "cache"))
    return folder


def exit_message() -> str:
    """Return the line with which the program exits, with a status that is not zero."""
    with pytest.raises(SystemExit) as raised:
        venv.main([])
    assert isinstance(raised.value.code, str)  # Python prints it and exits with 1
    assert "\n" not in raised.value.code
    return raised.value.code


def test_folder_that_is_not_writable_is_one_line(in_tmp_path: Path) -> None:
    """Put a folder where the lock file belongs, because root may write everywhere."""
    venv.LOCK.touch()
    (in_tmp_path / ".venv.lock").mkdir()
    message = exit_message()
    assert message.startswith("make: .venv has to be built, but this folder is not writable (")
    assert "Is a directory: '.venv.lock'" in message


def test_complete_environment_needs_no_writable_folder(in_tmp_path: Path) -> None:
    venv.LOCK.touch()
    venv.VENV.symlink_to(fake_environment(venv.name_in(in_tmp_path)))
    (in_tmp_path / ".venv.lock").mkdir()
    venv.main([])


def test_lock_without_uv_is_one_line_before_anything_is_built(in_tmp_path: Path) -> None:
    venv.LOCK.write_text("uvicorn==1\n", encoding="utf-8")
    assert exit_message().startswith("make: requirements.txt does not list uv")
    assert list(in_tmp_path.glob(".venv-*")) == []


BUILDER = """
import fcntl
from tools import venv
with venv.open_build_lock() as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    venv.succeeds(["sh", "-c", "echo installing >&2; read _"])
"""


@pytest.mark.usefixtures("in_tmp_path")
def test_installation_keeps_the_lock_if_only_the_builder_is_killed() -> None:
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILDER],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert builder.stdin
    assert builder.stderr
    assert builder.stderr.readline() == "installing\n"
    builder.kill()
    builder.wait()
    with venv.BUILD_LOCK.open("w", encoding="utf-8") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        builder.stdin.close()  # the installation finishes
        fcntl.flock(lock, fcntl.LOCK_EX)
    builder.stderr.close()


def lock_with(wheels: Path, uv: str) -> None:
    """Write a lock with a package, and with uv as the script `uv`."""
    entries = [
        write_wheel(wheels, "example", "example.py", "NUMBER = 1\n"),
        write_wheel(wheels, "uv", "uv-1.data/scripts/uv", uv),
    ]
    venv.LOCK.write_text("".join(entries), encoding="utf-8")


@pytest.mark.slow  # installs packages
def test_pip_builds_the_environment_if_uv_fails(
    wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock_with(wheels, FAILING_UV)
    venv.main([])
    err = capfd.readouterr().err
    for part in (
        "no room",
        "pip installs instead, in several minutes",
        "Successfully installed example-1",
    ):
        assert part in err
    assert not (venv.VENV / "half-installed").exists()
    assert venv.is_complete()


def fake_environment(name: str) -> Path:
    """Create a folder that looks like a complete environment, with the tests' own Python."""
    (Path(name) / "bin").mkdir(parents=True)
    python = Path(name) / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (Path(name) / "complete").touch()
    return Path(name)


@pytest.fixture
def previous(wheels: Path) -> Path:
    """Return the environment of another lock, which `.venv` links to."""
    lock_with(wheels, REAL_UV)
    venv.VENV.symlink_to(fake_environment(".venv-0123456789ab"))
    return venv.VENV.resolve()


@pytest.mark.slow  # installs packages
def test_one_of_two_makes_at_once_builds_while_the_previous_environment_is_used(
    wheels: Path, previous: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy2(ROOT / "Makefile", "Makefile")
    Path("tools").mkdir()
    shutil.copy2(ROOT / "tools" / "venv.py", "tools")
    lock = venv.lock_of("sweep")
    lock.parent.mkdir(parents=True)
    lock.write_text(write_wheel(wheels, "further", "further.py", ""), encoding="utf-8")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # does not affect the installation
    monkeypatch.setenv("PIP_LOG", "pip.log")
    (previous / "module.py").touch()
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(previous)}
    training = [str(previous / "bin" / "python"), "-c", "input(); import module"]
    make = ["make", "--no-print-directory", f"PYTHON={sys.executable}", ".venv/sweep"]
    with subprocess.Popen(training, stdin=pipe, text=True, env=environment) as running:
        calls = [subprocess.Popen(make, text=True, stdout=pipe, stderr=pipe) for _ in range(2)]
        outputs, errors = zip(*(call.communicate(timeout=600) for call in calls), strict=True)
        running.communicate("\n")
    assert [call.returncode for call in (*calls, running)] == [0, 0, 0]
    assert outputs == ("", "")  # standard output belongs to the command, and may be JSON
    waiting, building = sorted(errors)
    assert (waiting, building[:14]) == ("", "Building .venv")
    assert Path("pip.log").read_text(encoding="utf-8").count("Successfully installed further") == 1
    assert venv.VENV.resolve() != previous
    assert venv.is_complete()
    (folder,) = venv.VENV.glob("lib/python*/site-packages")
    assert (folder / "example-1.dist-info" / "INSTALLER").read_text(encoding="utf-8") == "uv"
    assert list((folder / "__pycache__").glob("example.*.pyc"))
    assert (folder / "further.py").is_file()


def test_failed_build_is_one_line_and_leaves_the_previous_environment(
    previous: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venv, "succeeds", lambda *_, **__: False)
    with pytest.raises(SystemExit, match=r"\.venv could not be built"):
        venv.main([])
    assert venv.VENV.resolve() == previous
    assert (previous / "complete").is_file()


def test_complete_environment_is_used_and_unused_ones_are_removed(
    in_tmp_path: Path, previous: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    built, leftover, by_hand = map(
        fake_environment, (venv.name_in(in_tmp_path), ".venv-" + "a" * 12, ".venv-x")
    )
    venv.main([])
    assert capfd.readouterr() == ("", "")
    assert venv.VENV.resolve() == built.resolve()
    assert not leftover.exists()
    kept = {built.name, by_hand.name, previous.name}  # a command may run in that one
    assert {path.name for path in in_tmp_path.glob(".venv-*")} == kept


def test_changed_lock_or_moved_folder_needs_another_environment(
    in_tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.LOCK.write_text("", encoding="utf-8")
    venv.VENV.symlink_to(fake_environment(venv.name_in(in_tmp_path)))
    assert venv.is_complete()
    moved = in_tmp_path.rename(tmp_path_factory.mktemp("moved") / "folder")
    monkeypatch.chdir(moved)
    assert not venv.is_complete()
    moved.rename(in_tmp_path)
    monkeypatch.chdir(in_tmp_path)
    venv.LOCK.write_text("# changed", encoding="utf-8")
    assert not venv.is_complete()
    venv.VENV.unlink()
    venv.VENV.mkdir()
    venv.link_environment(fake_environment(venv.name_in(Path().resolve())))
    assert venv.is_complete()
    assert Path(venv.REPLACED).is_dir()  # a command may still run in it
