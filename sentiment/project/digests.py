"""Digests, of which the identities of trainings and evaluations are made."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pathspec import GitIgnoreSpec

DVCIGNORE = Path(".dvcignore")
SHORT = 16  # hexadecimal digits of an identity, which people read


def file_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.sha256).hexdigest()


def digest_lines(paths: Iterable[Path]) -> str:
    """Return a line with digest and path for each file, sorted by path, as `sha256sum` prints it.

    Args:
        paths: files, and folders, which stand for all files in them but those in .dvcignore.
    """
    patterns = DVCIGNORE.read_text(encoding="utf-8").splitlines() if DVCIGNORE.exists() else []
    ignored = GitIgnoreSpec.from_lines(patterns)
    files = [
        file
        for path in paths
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.is_file() and not ignored.match_file(file)
    ]
    return "".join(f"{file_digest(file)}  {file.as_posix()}\n" for file in sorted(files))


def files_digest(paths: Iterable[Path]) -> str:
    """Return the first digits of the digest of files and folders, see `digest_lines`."""
    return short_digest(digest_lines(paths))


def short_digest(text: str) -> str:
    """Return the first digits of the SHA-256 digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]
