"""Checks and repairs of `sentiment repro`, before DVC removes outputs."""

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sentiment.data import imdb
from sentiment.errors import UserError
from sentiment.params import FetchParams, Params
from workflow import files
from workflow.commands import run_dvc
from workflow.params_file import update_params_file

RUN_CACHE = Path(".dvc", "cache", "runs")
MIN_CACHE_ENTRY_SECONDS = 60.0
SYNTHETIC_NOTE = "SYNTHETIC DATA (fetch.dataset in params.yaml): the metrics are NOT IMDB's."
FORCE_OPTIONS = {"-f", "--force"}
SINGLE_OPTIONS = {"-s", "--single-item"}


def check_files_exist(fetch: FetchParams) -> None:
    """Check that the files of texts exist, before DVC fails with the number of an error.

    Raises:
        UserError: one does not.
    """
    paths = {
        "fetch.table.train": fetch.table.train,
        "fetch.table.test": fetch.table.test,
        "fetch.added_texts": fetch.added_texts,
    }
    for name, path in paths.items():
        if not Path(path).exists():
            raise UserError(
                f"{name}: there is no file {path}. Correct params.yaml, or get the file: if DVC "
                f"tracks it, dvc pull {path}"
            )


def forces_fetch(dvc_options: Sequence[str]) -> bool:
    """Return whether the options make DVC run the stage fetch again, whose outputs it removes."""
    clusters = [option for option in dvc_options if re.fullmatch("-[a-zA-Z]+", option)]  # -fs
    options = {*dvc_options, *(f"-{letter}" for cluster in clusters for letter in cluster[1:])}
    is_single = not SINGLE_OPTIONS.isdisjoint(options)
    is_forced = not FORCE_OPTIONS.isdisjoint(options)
    return is_forced and (not is_single or "fetch" in dvc_options)


def use_synthetic_dataset_if_imdb_is_unavailable(params: Params, is_forced: bool) -> None:
    """Write `fetch.dataset: synthetic` if IMDB is needed and cannot be downloaded.

    Raises:
        UserError: `data/fetch` has IMDB, but DVC is forced to remove it and to fetch it again.
    """
    if params.fetch.dataset != "imdb" or (has_imdb() and not is_forced):
        return
    try:
        imdb.fetch_files()
    except imdb.ImdbUnavailableError as error:
        run_dvc("checkout", "--quiet", str(files.FETCH_FOLDER))  # if an earlier run fetched it
        if has_imdb() and is_forced:
            raise UserError(
                f"{error}\nWithout IMDB, force a single stage, such as: sentiment repro --force "
                "--single-item train"
            ) from None
        if has_imdb():
            return
        update_params_file({"fetch.dataset": "synthetic"})
        print(
            f"{error}\nThis continues with the synthetic dataset: params.yaml now says "
            f"fetch.dataset: synthetic.\nSet it back to imdb once the files are available.\n"
            f"{SYNTHETIC_NOTE}",
            file=sys.stderr,
        )


def has_imdb() -> bool:
    """Return whether `data/fetch` has IMDB. If it is damaged, DVC makes it again."""
    try:
        return files.read_inputs(files.FETCH_FOLDER, files.FetchInputs).fetch.dataset == "imdb"
    except UserError:
        return False


def remove_empty_cache_entries() -> None:
    """Remove the empty folder that DVC leaves in its run cache if it is killed while it writes.

    DVC 3.67 fails on such a folder: `join() argument must be str, bytes, or os.PathLike object`.
    """
    oldest = time.time() - MIN_CACHE_ENTRY_SECONDS  # a queued experiment may be writing a newer one
    for entry in RUN_CACHE.glob("*/*"):
        if entry.is_dir() and entry.stat().st_mtime < oldest and not any(entry.iterdir()):
            entry.rmdir()
