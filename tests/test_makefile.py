"""`make` builds the environment once. The README's lines for pip build another one.

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


def check_environment(project: ProjectCopy, home: Path) -> None:
    """Check that the command is installed, and that nobody else can read DVC's index."""
    script = "source .venv/bin/activate; which sentiment; sentiment --help; dvc doctor"
    printed = project.run("bash", "-ec", script)
    assert f"{project.path}/.venv/bin/sentiment\n" in printed
    assert "Log the results" in printed
    (cache,) = re.findall(r"^Repo\.site_cache_dir: (.*)$", printed, re.MULTILINE)
    assert is_private(home / ".cache" / "dvc-site")
    assert Path(cache).is_relative_to(home / ".cache" / "dvc-site")


# Packages that the environment need not install
PACKAGES = sysconfig.get_path("purelib")
ADD_PACKAGES = f"echo {PACKAGES} > $(echo .venv/lib/*/site-packages)/tests.pth"


def test_the_environment_is_built_once_with_one_line(project: ProjectCopy, tmp_path: Path) -> None:
    project.run(sys.executable, "-m", "venv", ".venv")
    project.run("bash", "-ec", ADD_PACKAGES)
    (line,) = project.run("make", "environment").splitlines()
    assert line.startswith("Installing the packages into .venv")
    check_environment(project, tmp_path)
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


def test_make_lists_its_targets(project: ProjectCopy) -> None:
    listed = re.findall(r"^  make ([\w-]+)", project.run("make"), re.MULTILINE)
    assert listed == ["environment", "repro", "ui", "test", "check", "bench", "lock"]


def test_the_lines_for_pip_build_the_environment(project: ProjectCopy, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"\*\*Without make\*\*.*\n\n((?: {4}.*\n)+)", readme)
    assert lines is not None
    commands = textwrap.dedent(lines[1]).splitlines()
    assert (commands[1], commands[-1]) == ("source .venv/bin/activate", "dvc repro")
    commands[1] += f"; {ADD_PACKAGES}"
    project.run("bash", "-ec", "\n".join(commands[:-1]))
    check_environment(project, tmp_path)
