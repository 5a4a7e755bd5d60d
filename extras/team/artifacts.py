"""Artifacts: compare those here with those on the server, and upload them, by MLflow's API.

A repository is MLflow's `ArtifactRepository` of the server's experiment. Paths are below its
artifact location.
"""

import filecmp
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

THREADS = 8  # files that are uploaded or read at the same time


def compare_files(sources: Mapping[str, Path], repository: Any) -> tuple[set[str], set[str]]:
    """Return the paths of files that the server lacks, and of those that differ there."""

    def differs(path: str) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            copy = repository.download_artifacts(path, folder)
            return not filecmp.cmp(sources[path], copy, shallow=False)

    with ThreadPoolExecutor(THREADS) as pool:
        folders = {str(Path(path).parent) for path in sources}
        listed = pool.map(repository.list_artifacts, folders)
        present = sources.keys() & {item.path for items in listed for item in items}
        different = dict(zip(present, pool.map(differs, present), strict=True))
    return sources.keys() - present, {path for path in present if different[path]}


def upload_files(sources: Mapping[str, Path], repository: Any) -> None:
    """Upload files."""
    with ThreadPoolExecutor(THREADS) as pool:
        folders = [str(Path(path).parent) for path in sources]
        list(pool.map(repository.log_artifact, map(str, sources.values()), folders))
