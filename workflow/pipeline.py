"""The stages and their folders, the code behind them, and their outputs of the last good run."""

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from workflow import files

if TYPE_CHECKING:
    from dvc.output import Output

DECLARED = Path("dvc.yaml")


def code_digests(stages: Sequence[str], file: Path = DECLARED) -> dict[str, str]:
    """SHA-256 of the code that a `dvc.yaml` lists for these stages, by path."""
    declared = YAML(typ="safe", pure=True).load(file)["stages"]
    paths = {dep for name in stages for dep in declared[name]["deps"] if Path(dep).suffix == ".py"}
    return {path: files.sha256(Path(path)) for path in sorted(paths)}


def restore(stage: str) -> list[str]:
    """Put back the outputs of a stage's last good run that are missing, from DVC's cache or git.

    Returns:
        The outputs that are still missing though DVC's cache has them.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        missing = [out for out in repo.stage.load_one(name=stage).outs if not out.exists]
        for out in missing:
            _restore(out)
        return [str(out) for out in missing if not out.exists and not out.changed_cache()]


def _restore(out: "Output") -> None:
    """Put one output back.

    `dvc checkout` passes over outputs with `cache: false`, of which DVC's run cache has copies all
    the same. Where it has none, in a fresh clone or after `dvc pull`, git has the committed ones.
    """
    from dvc.exceptions import CheckoutError

    tracked_by_git, out.use_cache = not out.use_cache, True
    with suppress(CheckoutError, OSError):
        if not out.changed_cache():
            if tracked_by_git:  # never a link, whatever DVC is configured to make
                shutil.copyfile(out.cache.oid_to_path(out.hash_info.value), out.fs_path)
            else:
                out.checkout()
        elif tracked_by_git:
            command = ["git", "checkout-index", "--quiet", "--", out.def_path]
            subprocess.run(command, capture_output=True, check=False)
            if out.exists and out.changed_checksum():  # it is of another run
                Path(out.fs_path).unlink()
