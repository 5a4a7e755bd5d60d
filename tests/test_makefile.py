"""`make` builds the environment once, and says in one line why it cannot. CI builds a real one."""

import stat
import sys
from pathlib import Path

import pytest

from tests.small_project import ROOT, ProjectCopy

pytestmark = pytest.mark.slow

# A Python that notes how it is called. Its environments have copies of itself.
NOTING_PYTHON = f"""\
#!/bin/sh
echo "$(basename "$0") $*" >> calls
case "$*" in
  "-m venv"*) mkdir -p .venv/bin; for name in python pip uv; do cp "$0" .venv/bin/$name; done;;
  *"pip config list"*) echo "$PIP_SETTINGS";;
  *pip*) ;;
  *) exec "{sys.executable}" "$@";;
esac
"""


@pytest.fixture
def project(clone: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """Return a clone of the project in a folder with a blank in its name, and such a Python."""
    copied = clone.copy(tmp_path / "my project")
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        (copied.path / name).write_bytes((ROOT / name).read_bytes())
    python = tmp_path / "python"
    python.write_text(NOTING_PYTHON, encoding="utf-8")
    python.chmod(0o755)
    copied.environment |= {"PYTHON": str(python), "HOME": str(tmp_path), "PIP_SETTINGS": ""}
    copied.environment |= {"MAKEFLAGS": "", "MAKELEVEL": "0"}  # `make test` set others
    copied.environment.pop("XDG_CACHE_HOME", None)
    return copied


def installations(project: ProjectCopy) -> list[str]:
    """Return the calls that installed packages, without those of other commands."""
    calls = (project.path / "calls").read_text(encoding="utf-8").splitlines()
    return [call for call in calls if "install" in call.split()]


def test_uv_installs_the_lock_once_with_its_hashes(project: ProjectCopy, tmp_path: Path) -> None:
    project.run("make", "environment")
    uv_itself, packages, own = installations(project)
    assert uv_itself.startswith("python -m pip")
    assert uv_itself.endswith("--require-hashes --requirement .venv/uv.txt")
    assert packages.startswith("uv pip install")
    assert packages.endswith("--require-hashes --requirement requirements.txt")
    assert own.endswith("--no-deps --no-build-isolation --editable .")
    locked = (project.path / ".venv" / "uv.txt").read_text(encoding="utf-8")
    assert locked.startswith("uv==")
    assert "--hash=sha256:" in locked

    site_cache = tmp_path / ".cache" / "dvc-site"
    assert str(site_cache) in project.run("dvc", "config", "core.site_cache_dir")
    assert stat.S_IMODE(site_cache.stat().st_mode) == 0o700
    project.run("make", "environment")
    assert len(installations(project)) == 3


@pytest.mark.parametrize(
    "setting",
    [
        "global.index-url='https://example.org/simple'",
        ":env:.extra-index-url='https://example.org/simple'",
        ":env:.no-index='1'",
        "global.proxy='http://example.org:3128'",
        ":env:.constraint='constraints.txt'",
    ],
)
def test_pip_installs_if_it_has_settings_that_uv_does_not_read(
    project: ProjectCopy, setting: str
) -> None:
    project.environment["PIP_SETTINGS"] = f"global.cert='/etc/ssl/ca.crt'\n{setting}"
    printed = project.run("make", "environment")
    name = setting.partition("=")[0].rpartition(".")[2]
    assert f"its settings have {name}, which uv does not read" in printed
    assert "example.org" not in printed
    packages, _ = installations(project)
    assert packages.startswith("python -m pip")
    assert packages.endswith("--require-hashes --requirement requirements.txt")


@pytest.mark.parametrize(
    "setting", ["global.cert='/etc/ssl/ca.crt'", "global.find-links='/wheels'"]
)
def test_uv_installs_if_pip_only_has_a_certificate_or_links(
    project: ProjectCopy, setting: str
) -> None:
    project.environment["PIP_SETTINGS"] = setting
    project.run("make", "environment")
    assert any(call.startswith("uv pip install") for call in installations(project))


def test_an_unsuitable_python_is_one_line(project: ProjectCopy, tmp_path: Path) -> None:
    python = tmp_path / "python3.10"
    python.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "sys.version_info = (3, 10, 0)\n"
        "code = sys.argv[2]\n"
        "sys.argv = ['-c', *sys.argv[3:]]\n"
        "exec(code)\n",
        encoding="utf-8",
    )
    python.chmod(0o755)
    printed = project.fail("make", f"PYTHON={python}", "environment")
    assert "Python 3.11, 3.12 or 3.13 is needed" in printed
    assert not (project.path / ".venv").exists()


def test_a_python_that_is_not_there_is_one_line(project: ProjectCopy) -> None:
    printed = project.fail("make", "PYTHON=/nonexistent", "environment")
    assert "There is no Python at /nonexistent" in printed
    assert "not found" not in printed
