"""What identifies a run: what shaped it, its code, and who made it."""

import difflib
import getpass
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sentiment.errors import redacted

DIFF_BYTES = 2**20  # of uncommitted changes kept with a run
NAMES = 100  # of untracked files among a run's tags
# The pipeline's own products: they change in every run and say nothing about what shaped it;
# `dvc status` tells whether they are up to date.
CHANGES = (".", ":(exclude,glob)**/dvc.lock", ":(exclude)data")
# Other files may hold texts, or keys as `.dvc/config` does: only their names are kept.
PACKAGES = ("extras", "sentiment", "stages", "tools", "workflow")
MODULES = tuple(f":(glob){package}/**/*.py" for package in PACKAGES)
SETTINGS = ("params.yaml", ":(glob)extras/**/*.yaml")
SHAPING = (*MODULES, *SETTINGS, "dvc.yaml", ":(glob)requirements*.txt")


def fingerprint(shaped: Mapping[str, Any]) -> str:
    """A name for a training, or for what trainings have in common, from all that shapes it."""
    text = json.dumps(shaped, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def person() -> str:
    """Who does this: the name at a server with users, or at this machine."""
    from mlflow.utils.credentials import read_mlflow_creds

    at_server = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    try:
        return at_server.username or read_mlflow_creds().username or getpass.getuser()
    except (KeyError, OSError):  # in a container, a user may have no name
        return f"uid {os.getuid()}"


def provenance() -> dict[str, str]:
    """Tags that lead from a run back to who made it, the git commit and the DVC experiment."""
    tags = {"mlflow.user": person(), "git.commit": git("rev-parse", "HEAD")}
    if tags["git.commit"]:
        tags["git.uncommitted_changes"] = _changes() or "none"
    tags["dvc.experiment"] = os.environ.get("DVC_EXP_NAME", "")
    tags["dvc.baseline"] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return {key: value for key, value in tags.items() if value}


def _changes() -> str:
    """Changed files as `git status` lists them; of many untracked ones the first and how many."""
    lines = git("status", "--porcelain", "--untracked-files=all", "--", *CHANGES).splitlines()
    untracked = [line for line in lines if line.startswith("??")]
    shown = lines[: len(lines) - len(untracked)] + untracked[:NAMES]
    if len(untracked) > NAMES:
        shown.insert(0, f"{len(untracked):,} untracked files, of which {NAMES} are listed")
    return "\n".join(shown)


def uncommitted_diff() -> str:
    """Changes of code and settings since the commit, without passwords in addresses.

    Of untracked files, it has the Python modules in the project's own packages. A long diff is cut,
    and says so.
    """
    parts = [git("diff", "--relative", "HEAD", "--", *SHAPING), *_untracked_modules()]
    diff = redacted("\n".join(filter(None, parts))).encode()
    kept = diff[:DIFF_BYTES].decode(errors="ignore")
    return kept if len(diff) <= DIFF_BYTES else f"{kept}\n[cut after {DIFF_BYTES:,} bytes]\n"


def _untracked_modules() -> Iterator[str]:
    """The untracked modules as diffs, until there are `DIFF_BYTES` of them."""
    listed = git("ls-files", "--others", "--exclude-standard", "-z", "--", *MODULES)
    size = 0
    for name in filter(None, listed.split("\0")):
        if Path(name).is_symlink():  # to a file that may be private
            continue
        try:
            lines = Path(name).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:  # gone meanwhile, or not readable
            continue
        diff = "\n".join(difflib.unified_diff([], lines, os.devnull, f"b/{name}", lineterm=""))
        yield diff
        size += len(diff)
        if size > DIFF_BYTES:
            return


def git(*arguments: str) -> str:
    """The output of a git command, empty where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return ""
    if done.returncode:
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n")
