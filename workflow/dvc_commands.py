"""DVC commands that run stages, and what DVC says of this project."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sentiment.data.params import NO_ADDED_TEXTS, FetchParams
from sentiment.errors import UserError, first_line
from workflow import files, processes
from workflow.commands import Interrupted

DVC = (sys.executable, "-m", "dvc")
WORKSPACE = Path()


def run_dvc(
    *arguments: str, folder: Path = WORKSPACE, environment: Mapping[str, str] | None = None
) -> int:
    """Run a DVC command and return its exit status.

    A signal that ends this process is passed on to DVC and its stage, whose end is awaited: DVC
    itself would leave the stage behind.
    """
    dvc = subprocess.Popen([*DVC, *arguments], cwd=folder, env=environment, process_group=0)
    try:
        return dvc.wait()
    except Interrupted as interrupted:
        with suppress(ProcessLookupError):
            os.killpg(dvc.pid, interrupted.number)
        processes.wait_for_group(dvc.pid)
        raise


def default_remote() -> str | None:
    """Return the name of DVC's default remote, or None if there is none.

    Raises:
        UserError: DVC's configuration cannot be read.
    """
    from dvc.config import Config, ConfigError

    try:
        name: str | None = Config.from_cwd()["core"].get("remote")
    except ConfigError as error:
        raise UserError(f"DVC's configuration cannot be read: {first_line(error)}") from None
    return name


def remote_problem(remote: str) -> str:
    """Return why a remote cannot be used, or "" if it can: `dvc repro --pull` would fail over it."""
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            data = repo.cloud.get_remote_odb(name=remote)
            data.fs.exists(data.path)
    except Exception as error:  # each kind of remote has exceptions of its own
        return first_line(error) or type(error).__name__
    return ""


def table_files(params: FetchParams) -> set[str]:
    """Return the paths and URLs of all tables that the dataset is read from."""
    tables = set[str]()
    if params.dataset == "table":
        tables |= {params.table.train, params.table.test}
    if params.add != NO_ADDED_TEXTS:
        tables |= set(files.list_tables(params.add))
    return tables


def project_table_files(params: FetchParams) -> list[str]:
    """Return the tables that are named by a path inside the project, which a clone needs, too.

    Raises:
        UserError: a relative path leads out of the project.
    """
    inside = [
        name
        for name in sorted(table_files(params))
        if "://" not in name and not Path(name).is_absolute()
    ]
    for name in inside:
        if os.path.normpath(name).startswith(".."):
            raise UserError(f"{name} is outside the project. Use its absolute path.")
    return inside
