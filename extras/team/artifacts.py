"""A history's artifacts, brought to the server and compared with those there by its own interface.

A repository is MLflow's `ArtifactRepository` of the server's experiment; paths are below that.
"""

import filecmp
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

AT_ONCE = 8  # files that are moved or read at the same time


def compare(sources: Mapping[str, Path], repository: Any) -> tuple[set[str], set[str]]:
    """The paths of files that the server lacks, and of those that are others there."""

    def differs(path: str) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            copy = repository.download_artifacts(path, folder)
            return not filecmp.cmp(sources[path], copy, shallow=False)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        folders = {str(Path(path).parent) for path in sources}
        listed = pool.map(repository.list_artifacts, folders)
        present = sources.keys() & {item.path for items in listed for item in items}
        marks = dict(zip(present, pool.map(differs, present), strict=True))
    return sources.keys() - present, {path for path, other in marks.items() if other}


def put(sources: Mapping[str, Path], repository: Any) -> None:
    """Upload files."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        folders = [str(Path(path).parent) for path in sources]
        list(pool.map(repository.log_artifact, map(str, sources.values()), folders))
