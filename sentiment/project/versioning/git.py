"""Run git commands."""

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Return the output of a git command in a folder, or "" if it failed."""
    return (git_bytes(folder, *arguments) or b"").decode(errors="replace").rstrip("\n")


def git_bytes(folder: Path, *arguments: str) -> bytes | None:
    """Return the output of a git command in a folder as it is.

    Returns:
        None if it failed, also because there is no git or no repository.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def git_paths(folder: Path, *arguments: str) -> list[str]:
    """Return the paths that a git command with the option `-z` prints, relative to a folder."""
    printed = git_bytes(folder, *arguments) or b""
    return [path for path in os.fsdecode(printed).split("\0") if path]


def literal_pathspec(path: Path) -> str:
    """Return the pattern by which git finds this path alone."""
    return f":(literal){path}"
