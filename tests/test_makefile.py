"""The README's lines for pip build the environment, and `make` runs the same ones once.

The packages are those of the tests' environment: .ci/lock_fits checks that the locks install.
"""

import re
import shutil
import stat
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from tests.small_project import ROOT, ProjectCopy

pytestmark = pytest.mark.slow


@pytest.fixture
def project(clone: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """Return a clone of the project in a folder with a blank in its name."""
    copied = clone.copy(tmp_path / "my project")
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, copied.path)
    copied.environment |= {"PYTHON": sys.executable, "HOME": str(tmp_path)}
    copied.environment |= {"MAKEFLAGS": "", "MAKELEVEL": "0"}  # `make test` set others
    copied.environment.pop("XDG_CACHE_HOME", None)
    return copied


def is_private(folder: Path) -> bool:
    """Return whether nobody else can enter a folder."""
    return stat.S_IMODE(folder.stat().st_mode) == 0o700


# Packages that the environment need not install
PACKAGES = sysconfig.get_path("purelib")
ADD_PACKAGES = f"echo {PACKAGES} > $(echo .venv/lib/*/site-packages)/tests.pth"


def commands_for_pip() -> list[str]:
    """Return the README's lines that build the environment without make."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"## Without make\n\n.*\n\n((?: {4}.*\n)+)", readme)
    assert lines is not None
    return textwrap.dedent(lines[1]).splitlines()


# A Python that notes how it is called, and makes an environment of itself
NOTING_PYTHON = f"""\
#!/bin/sh
echo "$*" >> calls
case "$*" in
  "-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp "$0" .venv/bin/pip;;
  "-m pip"*) ;;
  *) exec "{sys.executable}" "$@";;
esac
"""


def test_make_builds_the_environment_once_as_the_lines_for_pip_do(
    project: ProjectCopy, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(NOTING_PYTHON, encoding="utf-8")
    python.chmod(0o755)
    project.environment["PYTHON"] = str(python)
    (line,) = project.run("make", "environment").splitlines()
    assert line.startswith("Installing the packages into .venv")
    calls = (project.path / "calls").read_text(encoding="utf-8").splitlines()
    long = {"-r": "--requirement", "-e": "--editable"}
    installed = [
        " ".join(long.get(word, word) for word in command.split()[2:])
        for command in commands_for_pip()
        if command.startswith("pip install ")
    ]
    quiet = "-m pip install --quiet --disable-pip-version-check "
    assert [call.removeprefix(quiet) for call in calls if call.startswith("-m pip")] == installed
    assert is_private(tmp_path / ".cache" / "dvc-site")
    assert str(tmp_path) in project.run("dvc", "config", "core.site_cache_dir")
    assert "Installing" not in project.run("make", "environment")


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


def test_make_lists_its_targets(project: ProjectCopy) -> None:
    listed = re.findall(r"^  make ([\w-]+)", project.run("make"), re.MULTILINE)
    assert listed == ["environment", "repro", "ui", "test", "check", "bench", "lock"]


def test_the_lines_for_pip_build_the_environment(project: ProjectCopy, tmp_path: Path) -> None:
    commands = commands_for_pip()
    assert (commands[1], commands[-1]) == ("source .venv/bin/activate", "dvc repro")
    commands[1] += f"; {ADD_PACKAGES}"
    script = "which sentiment; sentiment --help; dvc doctor"
    printed = project.run("bash", "-ec", "\n".join([*commands[:-1], script]))
    assert f"{project.path}/.venv/bin/sentiment\n" in printed
    assert "Log the results" in printed
    (cache,) = re.findall(r"^Repo\.site_cache_dir: (.*)$", printed, re.MULTILINE)
    assert is_private(tmp_path / ".cache" / "dvc-site")
    assert Path(cache).is_relative_to(tmp_path / ".cache" / "dvc-site")
