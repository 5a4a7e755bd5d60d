"""Read IMDB as Keras publishes it.

Source: Maas et al. 2011, *Learning Word Vectors for Sentiment Analysis*.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

from sentiment.errors import UserError, first_line
from sentiment.text.reviews import Reviews

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
ARCHIVE = "imdb.npz"
LABEL_NAMES = ["negative", "positive"]  # in the order of their indices
WORD_INDEX = "imdb_word_index.json"
SHA256 = {
    ARCHIVE: "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    WORD_INDEX: "027313fe9a320280f3bf0fac5baf58c4a683cf39a7ed9c3d3d3912bde4284cf6",
}
TIMEOUT = 5  # seconds without a response, after which an attempt to download fails
RETRIES = 1  # bridges a brief failure; with more, the message would come late


def cache_folder() -> Path:
    """Return Keras' own dataset cache."""
    keras_home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(keras_home, "datasets")


def fetch_files() -> Path:
    """Download the files that Keras' cache lacks, verify all of them, and return the cache.

    Raises:
        UserError: a file cannot be downloaded, or differs from the one that Keras published.
    """
    import pooch
    import requests

    folder = cache_folder()
    cache = pooch.create(folder, URL, registry=SHA256, retry_if_failed=RETRIES)
    download = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT)
    try:
        for name in SHA256:
            cache.fetch(name, downloader=download)
    except requests.RequestException as error:
        raise UserError(
            f"{folder} does not have IMDB, and the download from {URL} failed "
            f"({first_line(error)}). You can:\n"
            f"  - set HTTPS_PROXY, if this machine is behind a proxy\n"
            f"  - put {ARCHIVE} and {WORD_INDEX} into {folder} yourself\n"
            f"  - use the generated dataset: fetch.dataset: synthetic in params.yaml, or, for one\n"
            f"    experiment, dvc exp run -S fetch.dataset=synthetic\n"
            f"  - bring back what was fetched before, if it is gone: dvc checkout data/fetch"
        ) from None
    except ValueError as error:  # pooch raises it if a digest does not match
        raise UserError(
            f"{URL} does not have the files that Keras published ({first_line(error)}). "
            f"Put good copies of {ARCHIVE} and {WORD_INDEX} into {folder}."
        ) from None
    return folder


def read_files(folder: Path) -> tuple[Reviews, Reviews, dict[str, int]]:
    """Return the training reviews, the test reviews and each word's frequency rank.

    Args:
        folder: what `fetch_files` returned. The archive holds pickles, so its digest must have been
            verified.
    """
    with np.load(folder / ARCHIVE, allow_pickle=True) as archive:
        splits = [
            Reviews.from_lists(archive[f"x_{split}"].tolist(), archive[f"y_{split}"])
            for split in ("train", "test")
        ]
    word_index = json.loads((folder / WORD_INDEX).read_bytes())
    return splits[0], splits[1], word_index
