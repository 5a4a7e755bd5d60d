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
FAILING_UV = "#!/bin/sh\ntouch .venv/half-installed\necho 'no room' >&2\nexit 2\n"
FOREIGN_UV = "\x7fELF of another machine"


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


def test_missing_venv_module_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "ensurepip" else name
    )
    with pytest.raises(SystemExit) as raised:
        venv.check_venv_module()
    assert "cannot make virtual environments" in str(raised.value.code)
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
    venv.main()
    out, err = capfd.readouterr()
    assert out == ""  # it is that of the command, which may be JSON
    assert "Building .venv" in err
    assert f" + {PACKAGE.replace('_', '-')}==1" in err
    assert installer() == "uv"
    assert list((site_packages() / "__pycache__").glob(f"{PACKAGE}.*.pyc"))
    venv.main()
    assert capfd.readouterr() == ("", "")


def test_pip_builds_the_environment_where_uv_fails(
    wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock_with(wheels, FAILING_UV)
    venv.main()
    err = capfd.readouterr().err
    assert "no room" in err
    assert "pip does, in several minutes" in err
    assert f"Successfully installed {PACKAGE.replace('_', '-')}-1" in err
    assert installer() == "pip"
    assert not (venv.VENV / "half-installed").exists()
    assert venv.is_complete()


def test_uv_for_another_machine_fails_with_the_reason(
    in_tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uv = in_tmp_path / "uv"
    uv.write_text(FOREIGN_UV, encoding="utf-8")
    uv.chmod(0o755)
    assert not venv.succeeds([str(uv)])
    assert "Exec format error" in capfd.readouterr().err


def test_uv_that_the_lock_does_not_have_fails(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = write_wheel(wheels, PACKAGE, f"{PACKAGE}.py", "NUMBER = 1\n")
    venv.LOCK.write_text(entry, encoding="utf-8")
    venv.VENV.mkdir()
    monkeypatch.setattr(venv, "PIP", [sys.executable, "-m", "pip"])
    assert not venv.uv_installs()


def test_failed_install_is_one_line_and_leaves_nothing_taken_for_good(
    wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock_with(wheels, REAL_UV)
    venv.VENV.mkdir()
    venv.STAMP.write_text(venv.expected_stamp(), encoding="utf-8")
    old_lock = venv.LOCK.read_bytes()
    venv.LOCK.write_bytes(old_lock + b"no-such-package==1 --hash=sha256:" + b"0" * 64)
    with pytest.raises(SystemExit, match=r"\.venv could not be built"):
        venv.build()
    assert not venv.is_complete()
    assert "no-such-package" in capfd.readouterr().err
    venv.LOCK.write_bytes(old_lock)
    assert not venv.is_complete()


def test_interrupted_build_is_one_line(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    (in_tmp_path / "requirements.txt").write_text("", encoding="utf-8")
    monkeypatch.setattr(venv, "build", interrupt)
    with pytest.raises(SystemExit, match=r"interrupted, \.venv is not built"):
        venv.main()


def test_environment_can_be_rebuilt_from_within(wheels: Path) -> None:
    lock_with(wheels, REAL_UV)
    venv.make_empty()
    inside = [str(venv.VENV / "bin" / "python"), str(ROOT / "tools" / "venv.py")]
    subprocess.run(inside, check=True)
    assert venv.is_complete()


def test_linked_environment_is_not_touched(
    in_tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "complete").write_text("good", encoding="utf-8")
    (in_tmp_path / ".venv").symlink_to(other)
    venv.clear()
    assert (other / "complete").read_text(encoding="utf-8") == "good"
    assert not venv.VENV.exists()


def test_changed_lock_or_moved_folder_builds_anew(
    in_tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.LOCK.write_text("", encoding="utf-8")
    venv.VENV.mkdir()
    venv.STAMP.write_text(venv.expected_stamp(), encoding="utf-8")
    assert venv.is_complete()
    moved = in_tmp_path.rename(tmp_path_factory.mktemp("moved") / "folder")
    monkeypatch.chdir(moved)
    assert not venv.is_complete()
    venv.STAMP.write_text(venv.expected_stamp(), encoding="utf-8")
    venv.LOCK.write_text("# changed", encoding="utf-8")
    assert not venv.is_complete()


def test_settings_of_pip_come_from_its_files_and_variables(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["[global]", "index-url = https://a.example/simple", "extra-index-url =", "  b", "  c"]
    (in_tmp_path / "pip.conf").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(in_tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://d.example/simple")
    monkeypatch.setattr(venv, "PIP", [sys.executable, "-m", "pip"])
    settings = venv.pip_settings()
    assert settings["index-url"] == "https://d.example/simple"
    assert settings["extra-index-url"].split() == ["b", "c"]


def test_uv_is_given_the_sources_and_certificates_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, name, _ in venv.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    given = {"index-url": "a", "extra-index-url": "\nb\nc", "find-links": "d e", "cert": "f.pem"}
    assert venv.uv_environment({**given, "timeout": "60"}) == {
        "UV_DEFAULT_INDEX": "a",
        "UV_INDEX": "b c",
        "UV_FIND_LINKS": "d,e",
        "SSL_CERT_FILE": "f.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_what_the_user_tells_uv_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "mine")
    environment = venv.uv_environment({"index-url": "other"})
    assert {**os.environ, **environment}["UV_DEFAULT_INDEX"] == "mine"


def test_lock_pins_every_package_with_hashes() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert len(entries) > 50
    assert all("==" in entry and entry.endswith("\\") for entry in entries)


@pytest.mark.parametrize("lock", ["requirements", "requirements-sweep", "requirements-server"])
def test_every_direct_dependency_has_its_reason_and_is_locked(lock: str) -> None:
    source = (ROOT / f"{lock}.in").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in source if line and not line.startswith(("#", "-"))]
    locked = (ROOT / f"{lock}.txt").read_text(encoding="utf-8")
    for line in wanted:
        wish, reason = line.split("#")
        assert reason.strip()
        name = re.split(r"[<\[]", wish.strip())[0].strip()  # without a limit and extras
        assert f"\n{name.replace('.', '-')}==" in f"\n{locked}"
