"""How `.venv` is built: from wheels made here, by the uv of the environment that runs the tests."""

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
        venv.check_python(3, 11)
    assert "python3.11-venv" in str(raised.value.code)


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
    return f"{name.replace('_', '-')}==1{''.join(hashes)}\n"


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


def lock_of_sweeps(entry: str) -> None:
    """Lock what `make sweep` needs."""
    path = venv.lock_of("sweep")
    path.parent.mkdir(parents=True)
    path.write_text(entry, encoding="utf-8")


def test_of_two_calls_at_once_one_builds_by_uv_with_bytecode_and_the_other_waits(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_with(wheels, REAL_UV)
    lock_of_sweeps(write_wheel(wheels, "further", "further.py", ""))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # says nothing of what is installed
    monkeypatch.setenv("PIP_LOG", "pip.log")
    command = [sys.executable, str(ROOT / "tools" / "venv.py"), "sweep"]
    pipe = subprocess.PIPE
    calls = [subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe) for _ in range(2)]
    outputs, errors = zip(*(call.communicate(timeout=120) for call in calls), strict=True)
    assert [call.returncode for call in calls] == [0, 0]
    assert outputs == ("", "")  # it is that of the command, which may be JSON
    building, waiting = sorted(errors)
    assert building.startswith("Building .venv")
    assert f" + {PACKAGE.replace('_', '-')}==1" in building
    assert waiting == "make: waiting for another make, which is building .venv.\n"
    assert Path("pip.log").read_text(encoding="utf-8").count("Successfully installed further") == 1
    assert installer() == "uv"
    assert list((site_packages() / "__pycache__").glob(f"{PACKAGE}.*.pyc"))
    assert venv.VENV.is_symlink()
    assert subprocess.check_output(command, stderr=subprocess.STDOUT) == b""


def test_pip_builds_the_environment_where_uv_fails(
    wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock_with(wheels, FAILING_UV)
    venv.main([])
    err = capfd.readouterr().err
    assert "no room" in err
    assert "pip does, in several minutes" in err
    assert f"Successfully installed {PACKAGE.replace('_', '-')}-1" in err
    assert installer() == "pip"
    assert not (venv.VENV / "half-installed").exists()
    assert venv.is_complete()


def test_a_program_of_another_machine_fails_as_any(
    in_tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = in_tmp_path / "uv"
    program.write_text("\x7fELF of another machine", encoding="utf-8")
    program.chmod(0o755)
    assert not venv.succeeds([str(program)])
    assert "Exec format error" in capfd.readouterr().err


def fake(name: str) -> Path:
    """A folder that is taken for a complete environment, with the tests' own Python."""
    (Path(name) / "bin").mkdir(parents=True)
    python = Path(name) / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (Path(name) / "complete").touch()
    return Path(name)


@pytest.fixture(params=["link", "folder"])
def earlier(request: pytest.FixtureRequest, wheels: Path) -> Path:
    """Another lock's environment, which `.venv` links to or, as it once was, is."""
    lock_with(wheels, REAL_UV)
    if request.param == "folder":
        return fake(".venv")
    venv.VENV.symlink_to(fake(".venv-0123456789ab"))
    return venv.VENV


@pytest.mark.parametrize("earlier", ["link"], indirect=True)
def test_failed_build_is_one_line_and_leaves_the_environment_before(
    earlier: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with venv.LOCK.open("ab") as lock:
        lock.write(b"no-such-package==1 --hash=sha256:" + b"0" * 64)
    with pytest.raises(SystemExit, match=r"\.venv could not be built"):
        venv.main([])
    assert "no-such-package" in capfd.readouterr().err
    assert (earlier / "complete").is_file()


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


def test_packages_of_sweeps_that_cannot_be_installed_are_one_line(wheels: Path) -> None:
    lock_with(wheels, REAL_UV)
    venv.VENV.symlink_to(fake(venv.name_in(Path().resolve())))
    lock_of_sweeps(f"no-such-package==1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SystemExit, match=r"extras/sweep/requirements\.txt could not be installed"):
        venv.main(["sweep"])
    assert not (venv.VENV / "sweep").exists()


@pytest.mark.parametrize("earlier", ["link"], indirect=True)
def test_make_builds_another_environment_for_another_lock_and_a_command_goes_on_in_its_own(
    wheels: Path, earlier: Path
) -> None:
    shutil.copy2(ROOT / "Makefile", "Makefile")
    Path("tools").mkdir()
    shutil.copy2(ROOT / "tools" / "venv.py", "tools")
    lock_of_sweeps(write_wheel(wheels, "further", "further.py", ""))
    (earlier / "module.py").touch()
    own = earlier.resolve()
    command = [str(own / "bin" / "python"), "-c", "input(); import module"]
    pipe, there = subprocess.PIPE, {**os.environ, "PYTHONPATH": str(own)}
    with subprocess.Popen(command, stdin=pipe, text=True, env=there) as running:
        subprocess.run(["make", ".venv/sweep"], check=True)
        running.communicate("\n")
    assert running.returncode == 0
    assert venv.VENV.resolve() != own
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
