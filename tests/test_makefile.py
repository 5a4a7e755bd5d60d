"""`make` builds one environment, in a folder of any name, and only again if it has to.

The README's lines for pip build another one.
"""

import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from tests.conftest import copy_project_files
from tests.small_project import ROOT, ProjectCopy

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]
NAME = 'a "project\'s" $HOME $(touch pwned) `touch pwned`'
# Not needed here, and slow to install
LEFT_OUT = re.compile(
    r"^(tensorflow|keras|mlflow|pyarrow|scipy|scikit-learn|pandas|matplotlib|"
    r"h5py|ml-dtypes|grpcio|libclang|optree|fonttools|contourpy|kiwisolver|pillow|"
    r"sqlalchemy|alembic|psycopg|databricks-sdk|google|docker|opentelemetry|skops|joblib|"
    r"flask|fastapi|starlette|uvicorn|werkzeug|gunicorn|graphql|graphene|huey|wtforms|"
    r"narwhals|optuna)[^=]*==",
    re.MULTILINE,
)


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    """Return a copy of the project whose lock has fewer packages, in a folder with a wild name."""
    copied = ProjectCopy(tmp_path / NAME)
    copied.path.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        (copied.path / name).write_bytes((ROOT / name).read_bytes())
    entries = re.split(r"\n(?=[a-z])", (ROOT / "requirements.txt").read_text(encoding="utf-8"))
    kept = [entry for entry in entries if not LEFT_OUT.match(entry)]
    (copied.path / "requirements.txt").write_text("\n".join(kept), encoding="utf-8")
    copy_project_files(copied)
    copied.environment |= {"PYTHON": sys.executable, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    copied.environment |= {"MAKEFLAGS": "", "MAKELEVEL": "0"}  # `make test` set others
    copied.environment["UV_CACHE_DIR"] = subprocess.run(
        ["uv", "cache", "dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return copied


def is_private(folder: Path) -> bool:
    """Return whether nobody else can enter a folder."""
    return stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_one_environment_is_built_and_moves_with_its_folder(
    project: ProjectCopy, tmp_path: Path
) -> None:
    makes = [project.start("make", "venv") for _ in range(2)]
    printed = [make.communicate(timeout=600)[0] for make in makes]
    assert [make.returncode for make in makes] == [0, 0], printed
    assert sum("Making .venv" in text for text in printed) == 1
    assert project.run("make", "venv") == ""
    command = (project.path / ".venv/bin/sentiment").as_posix()
    assert "Log the results" in project.run(command, "--help")

    moved = ProjectCopy(tmp_path / "moved to another place")
    project.path.rename(moved.path)
    moved.environment = project.environment
    assert "Making" not in moved.run("make", "venv")
    command = (moved.path / ".venv/bin/sentiment").as_posix()
    assert "Log the results" in moved.run(command, "--help")
    shell = ("bash", "-c", "source .venv/bin/activate; cd /; sentiment --help; which sentiment")
    assert moved.run(*shell).splitlines()[-1] == command
    assert not list(tmp_path.rglob("pwned"))

    doctor = moved.run(".venv/bin/dvc", "doctor")
    (cache,) = re.findall(r"^Repo\.site_cache_dir: (.*)$", doctor, re.MULTILINE)
    assert is_private(tmp_path / "cache" / "dvc-site")
    assert Path(cache).is_relative_to(tmp_path / "cache" / "dvc-site")


def test_an_unsuitable_python_is_one_line(project: ProjectCopy, tmp_path: Path) -> None:
    python = tmp_path / "python3.10"
    python.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "if sys.argv[1] == '--version':\n"
        "    sys.exit(print('Python 3.10.0'))\n"
        "sys.version_info = (3, 10, 0)\n"
        "code = sys.argv[2]\n"
        "sys.argv = ['-c', *sys.argv[3:]]\n"
        "exec(code)\n",
        encoding="utf-8",
    )
    python.chmod(0o755)
    printed = project.fail("make", f"PYTHON={python}", "venv")
    assert "Python 3.11, 3.12 or 3.13 is needed" in printed
    assert not (project.path / ".venv").exists()


def test_the_ui_of_a_server_is_its_address_without_a_password(project: ProjectCopy) -> None:
    uri = "https://me:secret@mlflow.example.org"
    printed = project.run("make", "--old-file=venv", "ui", MLFLOW_TRACKING_URI=uri)
    assert printed == "The runs are on https://mlflow.example.org\n"


def test_make_lists_its_targets(project: ProjectCopy) -> None:
    listed = re.findall(r"^  make ([\w-]+)", project.run("make"), re.MULTILINE)
    assert listed == ["repro", "ui", "test", "test-all", "check", "bench", "lock"]


def test_the_lines_for_pip_install_the_command_and_keep_dvcs_index_private(
    clone: ProjectCopy, tmp_path: Path
) -> None:
    """The packages are those of the tests' environment: .ci/lock_fits checks that they install."""
    project = clone.copy(tmp_path / "project")
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, project.path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, after = readme.partition("**Without make**, the same with pip:")
    lines = re.match(r"\n\n((?: {4}.*\n)+)", after)
    assert lines is not None
    commands = textwrap.dedent(lines[1]).splitlines()
    assert (commands[1], commands[-1]) == ("source .venv/bin/activate", "dvc repro")
    packages = sysconfig.get_path("purelib")
    commands[1] += f"; echo {packages} > $(echo .venv/lib/*/site-packages)/tests.pth"
    commands[-1] = "which sentiment; sentiment --help; dvc doctor"
    project.environment["HOME"] = str(tmp_path)
    printed = project.run("bash", "-ec", "\n".join(commands))
    assert f"{project.path}/.venv/bin/sentiment\n" in printed
    assert "Log the results" in printed
    (cache,) = re.findall(r"^Repo\.site_cache_dir: (.*)$", printed, re.MULTILINE)
    assert is_private(tmp_path / ".cache" / "dvc-site")
    assert Path(cache).is_relative_to(tmp_path / ".cache" / "dvc-site")
