"""A laptop's artifacts, and where the server keeps its own: a folder, or a bucket in S3."""

import hashlib
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit

from extras.team import s3
from extras.team.server_options import Server
from sentiment.errors import UserError
from workflow import files

AT_ONCE = 8  # files that are moved or read at the same time
CHUNK = 2**20  # bytes


class Place(Protocol):
    """Where a server keeps artifacts, by their paths."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The bytes of each file below a folder, by its path."""

    def put(self, source: Path, path: str) -> None:
        """Write a file whole, or not at all."""

    def digest(self, path: str) -> str:
        """The SHA-256 of a file that is there."""


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def sizes(self, folder: str) -> dict[str, int]:
        """See `Place`."""
        paths = (path for path in (self.root / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.stat().st_size for path in paths}

    def put(self, source: Path, path: str) -> None:
        """See `Place`."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(place)

    def digest(self, path: str) -> str:
        """See `Place`."""
        return files.sha256(self.root / path)


class Bucket:
    """A bucket, or a folder in one."""

    def __init__(self, settings: Server) -> None:
        parts = urlsplit(settings.artifacts)
        self.name, self.prefix = parts.netloc, parts.path.strip("/")
        self.client = s3.client(settings.s3_endpoint)

    def sizes(self, folder: str) -> dict[str, int]:
        """See `Place`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=f"{self._key(folder)}/"
        )
        begin = len(self._key(""))
        objects = (item for page in pages for item in page.get("Contents", []))
        return {item["Key"][begin:]: item["Size"] for item in objects}

    def put(self, source: Path, path: str) -> None:
        """See `Place`."""
        self.client.upload_file(str(source), self.name, self._key(path))

    def digest(self, path: str) -> str:
        """See `Place`."""
        body = self.client.get_object(Bucket=self.name, Key=self._key(path))["Body"]
        digest = hashlib.sha256()
        for chunk in body.iter_chunks(CHUNK):
            digest.update(chunk)
        return digest.hexdigest()

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path


def place_of(settings: Server) -> Place:
    """Where the server keeps its artifacts."""
    return Bucket(settings) if settings.bucket else Folder(Path(settings.artifacts))


def listed(root: Path) -> dict[str, Path]:
    """All files below a folder, by their paths in it."""
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(PurePosixPath(path.relative_to(root))): path for path in paths}


def missing(sources: Mapping[str, Path], place: Place, folder: str) -> dict[str, Path]:
    """The files that the server does not have, by their paths there.

    Args:
        sources: the files here, by their paths there.
        place: where the server keeps them.
        folder: of the experiment there.

    Raises:
        UserError: the server has a file with other content under the same path.
    """
    there = place.sizes(folder)
    both = {path: source for path, source in sources.items() if path in there}
    if clashes := differences(both, place, there):
        shown = "\n".join(f"  {path}" for path in sorted(clashes))
        raise UserError(
            f"The server has other files under the same path, so that nothing was moved:\n{shown}"
        )
    return {path: source for path, source in sources.items() if path not in there}


def put(sources: Mapping[str, Path], place: Place) -> None:
    """Write all files, each by its path there."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda path: place.put(sources[path], path), sources))


def differences(sources: Mapping[str, Path], place: Place, there: Mapping[str, int]) -> list[str]:
    """The paths at which the server has no such file or another one.

    Args:
        sources: the files here, by their paths there.
        place: where the server keeps them.
        there: the bytes of each file that it has.
    """

    def differs(path: str) -> bool:
        source = sources[path]
        return there.get(path) != source.stat().st_size or place.digest(path) != files.sha256(
            source
        )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [
            path for path, found in zip(sources, pool.map(differs, sources), strict=True) if found
        ]
