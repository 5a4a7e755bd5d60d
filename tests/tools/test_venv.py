"""How `.venv` is built: from wheels made here, by the uv of the environment that runs the tests."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.project import ROOT
from tools import venv

PACKAGE = "example_package"
REAL_UV = f'#!/bin/sh\nexec "{shutil.which("uv", path=str(Path(sys.executable).parent))}" "$@"\n'
FAILING_UV = """#!/bin/sh
touch "$(dirname "$0")/../half-installed"
echo 'no room' >&2
exit 2
"""
FOREIGN_UV = "\x7fELF of another machine"


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
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


def test_missing_venv_module_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "ensurepip" else name
    )
    with pytest.raises(SystemExit, match="cannot make virtual environments") as raised:
        venv.check_venv_module()
    assert f"python3.{sys.version_info[1]}-venv" in str(raised.value.code)


def write_wheel(folder: Path, name: str, file: str, content: str) -> str:
    """Write a wheel with one file, and return its entry in a lock."""
    info = f"{name}-1.dist-info"
    contents = {
        file: content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{recorded(text)}\n" for path, text in contents.items())
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**contents, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            entry = zipfile.ZipInfo(member)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    hashes = (f" \\\n    --hash=sha256:{digits}" for digits in ("0" * 64, digest))
    return f"{name.replace('_', '-')}==1{''.join(hashes)}\n"


def recorded(text: str) -> str:
    """Digest and size as a wheel's RECORD has them."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"sha256={digest},{len(text.encode())}"


@pytest.fixture
def wheels(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip is told to take packages from, and from nowhere else."""
    folder = in_tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(in_tmp_path / "cache"))
    return folder


def lock_with(wheels: Path, uv: str) -> None:
    """Lock a package, and uv as the script `uv`."""
    entries = [
        write_wheel(wheels, PACKAGE, f"{PACKAGE}.py", "NUMBER = 1\n"),
        write_wheel(wheels, "uv", "uv-1.data/scripts/uv", uv),
    ]
    venv.LOCK.write_text("".join(entries), encoding="utf-8")


def site_packages() -> Path:
    return next((venv.VENV / "lib").glob("python*")) / "site-packages"


def installer() -> str:
    """What installed the package."""
    record = site_packages() / f"{PACKAGE}-1.dist-info" / "INSTALLER"
    return record.read_text(encoding="utf-8").strip()


def test_uv_builds_the_environment_once_with_bytecode_and_shows_its_progress(
    wheels: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # says nothing of what is installed
    lock_with(wheels, REAL_UV)
    venv.main([])
    out, err = capfd.readouterr()
    assert out == ""  # it is that of the command, which may be JSON
    assert "Building .venv" in err
    assert f" + {PACKAGE.replace('_', '-')}==1" in err
    assert installer() == "uv"
    assert list((site_packages() / "__pycache__").glob(f"{PACKAGE}.*.pyc"))
    assert venv.VENV.is_symlink()
    venv.main([])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("uv", "reason"), [(FAILING_UV, "no room"), (FOREIGN_UV, "Exec format error")]
)
def test_pip_builds_the_environment_where_uv_fails(
    wheels: Path, capfd: pytest.CaptureFixture[str], uv: str, reason: str
) -> None:
    lock_with(wheels, uv)
    venv.main([])
    err = capfd.readouterr().err
    assert reason in err
    assert "pip does, in several minutes" in err
    assert f"Successfully installed {PACKAGE.replace('_', '-')}-1" in err
    assert installer() == "pip"
    assert not (venv.VENV / "half-installed").exists()
    assert venv.is_complete()


def fake(name: str) -> Path:
    """A folder that is taken for a complete environment."""
    (Path(name) / "lib").mkdir(parents=True)
    (Path(name) / "complete").touch()
    return Path(name)


@pytest.fixture(params=["link", "folder"])
def earlier(request: pytest.FixtureRequest, wheels: Path) -> Path:
    """The stamp of another lock's environment, which `.venv` links to or, as it once was, is."""
    lock_with(wheels, REAL_UV)
    if request.param == "folder":
        fake(".venv")
    else:
        venv.VENV.symlink_to(fake(".venv-0123456789ab"))
    return venv.VENV / "complete"


def test_failed_build_is_one_line_and_leaves_the_environment_before(
    earlier: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with venv.LOCK.open("ab") as lock:
        lock.write(b"no-such-package==1 --hash=sha256:" + b"0" * 64)
    with pytest.raises(SystemExit, match=r"\.venv could not be built"):
        venv.main([])
    assert "no-such-package" in capfd.readouterr().err
    assert earlier.is_file()


@pytest.mark.usefixtures("earlier")
def test_what_is_complete_is_used_and_the_folders_that_no_command_uses_are_removed(
    in_tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = venv.VENV.resolve()
    built, leftover, by_hand = map(
        fake, (venv.name_in(in_tmp_path), ".venv-" + "a" * 12, ".venv-x")
    )
    venv.main([])
    assert capfd.readouterr() == ("", "")
    assert venv.VENV.resolve() == built.resolve()
    assert not leftover.exists()
    assert by_hand.exists()
    former = venv.FORMER if before.name == ".venv" else before.name  # a command may run in it
    kept = {built.name, by_hand.name, former}
    assert {path.name for path in in_tmp_path.glob(".venv-*")} == kept


def test_a_command_goes_on_in_the_environment_that_another_one_follows(wheels: Path) -> None:
    lock_with(wheels, REAL_UV)
    venv.main([])
    first, python = venv.VENV.resolve(), str(venv.VENV.resolve() / "bin" / "python")
    waiting = f"input(); import {PACKAGE}"
    with subprocess.Popen([python, "-c", waiting], stdin=subprocess.PIPE, text=True) as running:
        venv.LOCK.write_text(f"{venv.LOCK.read_text(encoding='utf-8')}# changed", encoding="utf-8")
        subprocess.run([python, str(ROOT / "tools" / "venv.py")], check=True)
        assert installer() == "uv"
        assert venv.VENV.resolve() != first
        running.communicate("\n")
    assert running.returncode == 0


def sweeps_lock() -> Path:
    """The lock of `make sweep`, whose folder is there."""
    path = venv.lock_of("sweep")
    path.parent.mkdir(parents=True)
    return path


def test_of_two_calls_at_once_one_builds_and_the_other_waits(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_with(wheels, REAL_UV)
    sweeps_lock().write_text(write_wheel(wheels, "further", "further.py", ""), encoding="utf-8")
    monkeypatch.setenv("PIP_LOG", "pip.log")
    command = [sys.executable, str(ROOT / "tools" / "venv.py"), "sweep"]
    calls = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(call.communicate(timeout=120)[1] for call in calls)
    assert [call.returncode for call in calls] == [0, 0]
    assert said[0].startswith("Building .venv")
    assert said[1] == "make: waiting for another make, which is building .venv.\n"
    assert installer() == "uv"
    assert Path("pip.log").read_text(encoding="utf-8").count("Successfully installed further") == 1


def test_packages_of_sweeps_that_cannot_be_installed_are_one_line(wheels: Path) -> None:
    lock_with(wheels, REAL_UV)
    missing = f"no-such-package==1 --hash=sha256:{'0' * 64}\n"
    sweeps_lock().write_text(missing, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"extras/sweep/requirements\.txt could not be installed"):
        venv.main(["sweep"])
    assert not (venv.VENV / "sweep").exists()


def test_make_installs_the_packages_of_sweeps_into_each_environment(wheels: Path) -> None:
    lock_with(wheels, REAL_UV)
    shutil.copy2(ROOT / "Makefile", "Makefile")
    Path("tools").mkdir()
    shutil.copy2(ROOT / "tools" / "venv.py", "tools")
    sweeps_lock().write_text(write_wheel(wheels, "further", "further.py", ""), encoding="utf-8")
    for comment in ("", "# changed\n"):
        with venv.LOCK.open("a", encoding="utf-8") as lock:
            lock.write(comment)
        subprocess.run(["make", ".venv/sweep"], check=True)
        assert venv.is_complete()
        assert (site_packages() / "further.py").is_file()


def test_interrupted_build_is_one_line(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    (in_tmp_path / "requirements.txt").write_text("", encoding="utf-8")
    monkeypatch.setattr(venv, "build", interrupt)
    with pytest.raises(SystemExit, match=r"interrupted, \.venv is not built"):
        venv.main([])


def test_changed_lock_or_moved_folder_builds_anew_and_a_link_from_elsewhere_does_not(
    in_tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.LOCK.write_text("", encoding="utf-8")
    built = Path(venv.name_in(in_tmp_path))
    built.mkdir()
    (built / "complete").touch()
    venv.VENV.symlink_to(built)
    assert venv.is_complete()
    moved = in_tmp_path.rename(tmp_path_factory.mktemp("moved") / "folder")
    monkeypatch.chdir(moved)
    assert not venv.is_complete()
    moved.rename(in_tmp_path)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    venv.VENV.symlink_to(in_tmp_path / venv.VENV)
    venv.LOCK.write_text("", encoding="utf-8")
    assert venv.is_complete()
    venv.LOCK.write_text("# changed", encoding="utf-8")
    assert not venv.is_complete()


def test_uv_is_given_the_settings_of_pip_and_keeps_what_the_user_tells_it(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*os.environ]:
        if name.startswith(("PIP_", "UV_")) or name in ("SSL_CERT_FILE", "ALL_PROXY"):
            monkeypatch.delenv(name)
    lines = ["[global]", "index-url = https://a.example", "find-links =", "  b", "  c"]
    lines += ["cert = f.pem", "timeout = 60", "[install]", "cert = g.pem", "proxy = file.example"]
    (in_tmp_path / "pip.conf").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", "pip.conf")
    monkeypatch.setenv("PIP_PROXY", "variable.example")
    monkeypatch.setenv("PIP_NO_INDEX", "yes")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mine.example")
    monkeypatch.setattr(venv, "pip", lambda _: [sys.executable, "-m", "pip"])
    assert venv.uv_environment(in_tmp_path) == {
        "UV_FIND_LINKS": "b,c",
        "SSL_CERT_FILE": "g.pem",
        "ALL_PROXY": "variable.example",
        "UV_OFFLINE": "yes",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


LOCKED = [ROOT / "requirements.in", *sorted(ROOT.glob("extras/*/requirements.in"))]


def test_lock_pins_every_package_with_hashes() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert len(entries) > 50
    assert all("==" in entry and entry.endswith("\\") for entry in entries)


@pytest.mark.parametrize("source", LOCKED, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_every_direct_dependency_has_its_reason_and_is_locked(source: Path) -> None:
    lines = source.read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    locked = source.with_suffix(".txt").read_text(encoding="utf-8")
    for line in wanted:
        wish, reason = line.split("#")
        assert reason.strip()
        name = re.split(r"[<\[]", wish.strip())[0].strip()  # without a limit and extras
        assert f"\n{name.replace('.', '-')}==" in f"\n{locked}"
