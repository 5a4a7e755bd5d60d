"""What leads from a run back to its code and to who made it."""

import getpass
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sentiment.errors import redacted

DIFF_BYTES = 2**20  # of uncommitted changes kept with a run
# The pipeline's own products: they change in every run and say nothing about what shaped it;
# `dvc status` tells whether they are up to date.
PRODUCTS = (":(exclude,glob)**/dvc.lock", ":(exclude)data")
# Nor are texts of one's own code: their digest is among the params, and they may be private.
TABLES = [
    f":(exclude,glob,icase)**/*.{kind}{more}"
    for kind in ("csv", "tsv", "jsonl", "ndjson", "parquet")
    for more in ("", ".*")
]
CODE = (".", *PRODUCTS, *TABLES)


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
    tags = {"mlflow.user": person(), "git.commit": _git("rev-parse", "HEAD")}
    if tags["git.commit"]:
        changes = _git("status", "--porcelain", "--", *CODE)
        tags["git.uncommitted_changes"] = changes or "none"
    tags["dvc.experiment"] = os.environ.get("DVC_EXP_NAME", "")
    tags["dvc.baseline"] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return {key: value for key, value in tags.items() if value}


def uncommitted_diff() -> str:
    """What git would show of changes since the commit, without passwords in addresses.

    A long one is cut, and says so.
    """
    parts = [_git("diff", "HEAD", "--", *CODE), *_untracked()]
    diff = redacted("\n".join(filter(None, parts))).encode()
    kept = diff[:DIFF_BYTES].decode(errors="ignore")
    return kept if len(diff) <= DIFF_BYTES else f"{kept}\n[cut: {len(diff):,} bytes in all]\n"


def _untracked() -> Iterator[str]:
    """Each file that git neither tracks nor ignores, as a diff; of a large one just the name."""
    listed = _git("ls-files", "--others", "--exclude-standard", "-z", "--", *CODE)
    for name in filter(None, listed.split("\0")):
        size = Path(name).stat().st_size if Path(name).is_file() else 0
        if size > DIFF_BYTES:
            yield f"[untracked: {name}, {size:,} bytes]"
        else:
            yield _git("diff", "--no-index", "--", os.devnull, name, differing=1)


def _git(*arguments: str, differing: int = 0) -> str:
    """The output of a git command, empty where there is no git or no repository.

    Args:
        arguments: the command.
        differing: a further exit status that is no failure.
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return ""
    if done.returncode not in (0, differing):
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n")
