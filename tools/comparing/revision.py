"""Files as they were at a git revision or in a DVC experiment."""

from collections.abc import Iterable
from pathlib import Path

from sentiment.errors import UserError
from tools.running import dvc


class LostError(UserError):
    """Neither DVC's cache nor its remote has a file."""


def copy(revision: str, names: Iterable[str], target: Path) -> Path:
    """Copy files or folders, from git or from DVC's cache or remote, and return `target`.

    Args:
        revision: what git calls a revision, or the name of a DVC experiment.
        names: paths within the project, such as `data/train/run.json`.
        target: the folder that stands for the project's root.

    Raises:
        LostError: neither cache nor remote has a file of it.
        UserError: there is no such revision, or a file may be in the remote, which cannot be
            reached.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexError

    remote = dvc.remote()
    try:
        system = DVCFileSystem(".", rev=revision, remote=remote)
        for name in names:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            system.get(name, str(place), recursive=True)
    except DvcException as error:
        raise UserError(
            f"{revision} cannot be read as a git revision or DVC experiment: {error}."
        ) from None
    except Exception as error:  # each kind of remote has errors of its own
        problem = remote and dvc.why_not(
            remote,
            absent="nothing is there; it is offline or not mounted, or nobody has pushed yet",
        )
        if problem:
            raise UserError(
                f"DVC's cache lacks {name} as it was at {revision}, and the DVC remote {remote} "
                f"cannot be reached: {problem}. Make it reachable or, if it is gone for good, "
                f"remove it: dvc remote remove {remote}"
            ) from None
        if not isinstance(error, FileNotFoundError | DataIndexError):
            raise
        raise LostError(
            f"Neither DVC's cache nor a remote has {name} as it was at {revision}. Get it with "
            "`dvc fetch --all-commits` or `dvc exp pull`, or make it again with `dvc repro`."
        ) from None
    return target
