"""DVC commands that run stages, so that nothing they started outlives the command."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sentiment.data.params import NO_ADDED_TEXTS, FetchParams
from sentiment.errors import UserError, first_line
from workflow import children, files, signals

DVC = (sys.executable, "-m", "dvc")
RWLOCK = Path(".dvc", "tmp", "rwlock")
LOCK_FILE = Path("dvc.lock")
MOMENT_SECONDS = 1.0
HERE = Path()
Environment = Mapping[str, str] | None  # None: that of this process


def run(*arguments: str, folder: Path = HERE, environment: Environment = None) -> int:
    """Run a DVC command that runs stages, in a process group of its own; return its exit status.

    The signal that ends this process goes to all of the group, the stage included, whose end is
    waited for: DVC by itself leaves a stage behind when it is terminated. What an earlier DVC was
    killed over is repaired.
    """
    repair_lock(folder / RWLOCK)
    status = _run(arguments, folder, environment)
    if status and restore_lock_file(folder):
        return _run(arguments, folder, environment)
    return status


def _run(arguments: Sequence[str], folder: Path, environment: Environment) -> int:
    command, process = [*DVC, *arguments], None
    try:
        with signals.deferred():  # else it may be left behind
            process = subprocess.Popen(command, cwd=folder, env=environment, process_group=0)
        return process.wait()
    except signals.Interrupted as ended:
        if process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, ended.number)
            children.wait(process.pid)
        raise


def remote() -> str | None:
    """The name of DVC's default remote, if there is one; UserError if its config is broken."""
    from dvc.config import Config, ConfigError

    try:
        name: str | None = Config.from_cwd()["core"].get("remote")
    except ConfigError as error:
        raise UserError(f"DVC's configuration cannot be read: {first_line(error)}") from None
    return name


def why_not(remote: str) -> str:
    """Why a remote cannot be used, or nothing if it can: `dvc repro --pull` would end over it."""
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            data = repo.cloud.get_remote_odb(name=remote)
            data.fs.exists(data.path)
    except Exception as error:  # each kind of remote has errors of its own
        return first_line(error) or type(error).__name__
    return ""


def repair_lock(lock: Path) -> None:
    """Remove a lock file that DVC was killed over while it wrote it, and refuses to start over."""
    for pause in (MOMENT_SECONDS, 0.0):  # another DVC may just be writing it
        try:
            json.loads(lock.read_bytes())
        except FileNotFoundError:
            return
        except ValueError:
            time.sleep(pause)
        else:
            return
    lock.unlink(missing_ok=True)


def restore_lock_file(folder: Path) -> bool:
    """Put back git's `dvc.lock` if DVC was killed while it wrote it; whether that was so.

    DVC's run cache has the stages that finished since: none is run again.
    """
    from dvc.exceptions import DvcException
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.strictyaml import load

    file = folder / LOCK_FILE
    try:
        load(str(file), COMPILED_LOCKFILE_SCHEMA)
    except FileNotFoundError:
        return False
    except DvcException:
        file.unlink()
        restore = ["git", "checkout", "--", str(LOCK_FILE)]  # where git has none, DVC makes one
        subprocess.run(restore, cwd=folder, capture_output=True, check=False)
        print(f"{file} was incomplete, since DVC was killed: git's version is back.", flush=True)
        return True
    return False


def table_files(params: FetchParams) -> set[str]:
    """The files with texts, by path or address: those of both parts, maybe one, and those added."""
    own = {params.table.train, params.table.test} if params.dataset == "table" else set()
    return own | (set(files.tables(params.add)) if params.add != NO_ADDED_TEXTS else set())


def relative_files(params: FetchParams) -> list[str]:
    """Those that are named by a path from the project's root, which a copy of it needs, too.

    A UserError is raised where a path leads out of the project.
    """
    names = sorted(table_files(params))
    inside = [name for name in names if "://" not in name and not Path(name).is_absolute()]
    for name in inside:
        if os.path.normpath(name).startswith(".."):
            raise UserError(f"{name} is outside the project: name it by its absolute path.")
    return inside
