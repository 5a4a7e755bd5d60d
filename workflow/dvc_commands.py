"""DVC commands that run stages or report on this project."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sentiment.data.params import NO_ADDED_TEXTS, FetchParams
from sentiment.errors import UserError, redact
from workflow import files, processes
from workflow.commands import Interrupted

DVC = (sys.executable, "-m", "dvc")
WORKSPACE = Path()


def run_dvc(
    *arguments: str, folder: Path = WORKSPACE, environment: Mapping[str, str] | None = None
) -> int:
    """Run a DVC command and return its exit status.

    If a signal interrupts this process, it is forwarded to DVC and its stage, and both are waited
    for. DVC alone would leave the stage running.
    """
    dvc = subprocess.Popen([*DVC, *arguments], cwd=folder, env=environment)
    try:
        return dvc.wait()
    except Interrupted as interrupted:
        processes.interrupt(dvc.pid, interrupted.number)
        raise


def default_remote() -> str | None:
    """Return the name of DVC's default remote, or None if the project has no default remote.

    Raises:
        UserError: DVC's configuration cannot be read.
    """
    done = _dvc_output("remote", "default")
    if not done.returncode:
        return done.stdout.strip()
    if "ERROR: " in done.stderr:
        raise UserError(f"DVC's configuration cannot be read: {_error_line(done.stderr)}")
    return None


def remote_problem() -> str:
    """Return why the default remote cannot be used, or "" if it can.

    `dvc repro --pull` fails if the remote cannot be used.
    """
    done = _dvc_output("status", "--cloud")
    return _error_line(done.stderr) if done.returncode else ""


def _dvc_output(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*DVC, *arguments], capture_output=True, text=True, check=False)


def _error_line(stderr: str) -> str:
    """Return DVC's message about an error, in one line and without secrets."""
    lines = [line for line in stderr.splitlines() if line.startswith("ERROR: ")]
    return redact(lines[0].removeprefix("ERROR: ")) if lines else "DVC does not say why"


def table_files(params: FetchParams) -> set[str]:
    """Return the paths and URLs of all tables that the dataset is read from."""
    tables = set[str]()
    if params.dataset == "table":
        tables |= {params.table.train, params.table.test}
    if params.added_texts != NO_ADDED_TEXTS:
        tables |= set(files.list_tables(params.added_texts))
    return tables


def project_table_files(params: FetchParams) -> list[str]:
    """Return the tables inside the project, which a clone also needs.

    Raises:
        UserError: a relative path leads out of the project.
    """
    inside = [
        name
        for name in sorted(table_files(params))
        if "://" not in name and not Path(name).is_absolute()
    ]
    for name in inside:
        if Path(os.path.normpath(name)).parts[:1] == ("..",):
            raise UserError(f"{name} is outside the project. Use its absolute path.")
    return inside
