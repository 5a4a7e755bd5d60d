"""Digests of files and folders: SHA-256, and MD5 as DVC computes it."""

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from pathspec import GitIgnoreSpec

DIGITS = 16  # hexadecimal digits of a short digest, which names a folder


def file_digest(path: Path) -> str:
    """Return the digest of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.sha256).hexdigest()


def file_md5(path: Path) -> str:
    """Return the MD5 of a file, 32 hexadecimal digits, by which dvc.lock names its content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def read_dvcignore(dvcignore: Path) -> GitIgnoreSpec:
    """Return the patterns of the files that DVC ignores."""
    patterns = dvcignore.read_text(encoding="utf-8").splitlines() if dvcignore.exists() else []
    return GitIgnoreSpec.from_lines(patterns)


def file_digests(paths: Iterable[Path], dvcignore: Path) -> dict[str, str]:
    """Return the digest of each file by its path.

    Args:
        paths: files, and folders, which stand for all files in them.
        dvcignore: the file with the patterns of the files that DVC ignores.
    """
    ignored = read_dvcignore(dvcignore)
    files = [
        file
        for path in paths
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.is_file() and not ignored.match_file(file)
    ]
    return {file.as_posix(): file_digest(file) for file in sorted(files)}


def folder_digest(folder: Path) -> str:
    """Return a digest of the names and the contents of all files in a folder.

    A folder that does not exist has the digest of an empty one.
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file_digest(file)}  {file.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def short_digest(text: str) -> str:
    """Return the first digits of the digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
