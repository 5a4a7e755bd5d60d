"""A laptop's artifacts, and where the server keeps its own: a folder, or a bucket in S3."""

import hashlib
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from extras.team.server_options import Server
from workflow import files

AT_ONCE = 8  # files that are moved or read at the same time
# what speaks S3, but is not Amazon's, may not know the newer checksums
CHECKSUMS = {
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


class Folder:
    """A folder of this machine in which the server keeps artifacts, by their paths."""

    def __init__(self, settings: Server) -> None:
        self.root = Path(settings.artifacts)

    def sizes(self, folder: str) -> dict[str, int]:
        """The bytes of each file below a folder, by its path."""
        paths = (path for path in (self.root / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.stat().st_size for path in paths}

    def put(self, source: Path, path: str) -> None:
        """Write a file whole, or not at all."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = files.beside(place, "partial")
        shutil.copyfile(source, partial)
        partial.replace(place)

    def digest(self, path: str) -> str:
        """The SHA-256 of a file that is there."""
        return files.sha256(self.root / path)


class Bucket:
    """A bucket, or a folder in one, in which the server does so: with the methods of `Folder`."""

    def __init__(self, settings: Server) -> None:
        folder = urlsplit(settings.artifacts).path.strip("/")
        self.name, self.prefix = settings.bucket, f"{folder}/" if folder else ""
        self.client = s3_client(settings)

    def sizes(self, folder: str) -> dict[str, int]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=f"{self.prefix}{folder}/"
        )
        objects = (item for page in pages for item in page.get("Contents", []))
        return {item["Key"].removeprefix(self.prefix): item["Size"] for item in objects}

    def put(self, source: Path, path: str) -> None:
        self.client.upload_file(str(source), self.name, f"{self.prefix}{path}")

    def digest(self, path: str) -> str:
        body = self.client.get_object(Bucket=self.name, Key=f"{self.prefix}{path}")["Body"]
        return hashlib.file_digest(body, "sha256").hexdigest()


Place = Folder | Bucket


def s3_client(settings: Server, **options: Any) -> Any:
    """Boto's client, with the key of AWS's variables or files as they are now.

    The options are of botocore's `Config`.
    """
    import boto3
    from botocore.config import Config

    endpoint = settings.s3_endpoint or None
    config = Config(**options, **(CHECKSUMS if endpoint else {}))
    return boto3.Session().client("s3", endpoint_url=endpoint, config=config)


def compare(
    sources: Mapping[str, Path], place: Place, folder: str
) -> tuple[dict[str, Path], list[str]]:
    """The files that a folder of the server lacks, and the paths at which it has another one.

    Args:
        sources: the files here, by their paths there.
        place: where the server keeps its own; files there are compared by their SHA-256.
        folder: of the experiment there.
    """
    sizes = place.sizes(folder)

    def differs(path: str) -> bool:
        source = sources[path]
        return sizes[path] != source.stat().st_size or place.digest(path) != files.sha256(source)

    present = [path for path in sources if path in sizes]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        marks = zip(present, pool.map(differs, present), strict=True)
        differing = [path for path, other in marks if other]
    return {path: source for path, source in sources.items() if path not in sizes}, differing
