"""Fixtures of the tests of what computes."""

from pathlib import Path

import pytest

from sentiment.data import imdb


@pytest.fixture(scope="session")
def imdb_cache() -> Path:
    """Return Keras' dataset cache with the real files of IMDB. Without them, skip the test."""
    folder = imdb.cache_folder()
    for name in imdb.SHA256:
        if not (folder / name).is_file():
            pytest.skip(f"{name} is not in {folder}; `sentiment repro` downloads it")
    return folder
