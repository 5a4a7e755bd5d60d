"""Run git commands."""

import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Return the output of a git command in a folder.

    Returns:
        "" if there is no git or no repository.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n")
