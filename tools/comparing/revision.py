"""Files as they were at a git revision or in a DVC experiment."""

from collections.abc import Iterable
from pathlib import Path

from sentiment.errors import UserError


def copy(revision: str, names: Iterable[str], target: Path) -> Path:
    """Copy files or folders, from git or from DVC's cache or remote, and return `target`.

    Args:
        revision: what git calls a revision, or the name of a DVC experiment.
        names: paths within the project, such as `data/train/run.json`.
        target: the folder that stands for the project's root.

    Raises:
        UserError: there is no such revision, or neither cache nor remote has a file of it.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexError

    try:
        system = DVCFileSystem(".", rev=revision)
        for name in names:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            system.get(name, str(place), recursive=True)
    except DvcException as error:
        raise UserError(
            f"{revision} cannot be read as a git revision or DVC experiment: {error}."
        ) from None
    except (FileNotFoundError, DataIndexError):
        raise UserError(
            f"Neither DVC's cache nor a remote has {name} as it was at {revision}. Get it with "
            "`dvc fetch --all-commits` or `dvc exp pull`, or make it again with `dvc repro`."
        ) from None
    return target
