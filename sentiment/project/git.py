"""Ask git."""

import subprocess


def git(*arguments: str) -> str:
    """Return the output of a git command, or "" if there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n")
