"""`sentiment repro` checks and mends what would make DVC lose something."""

import os
import time
from typing import Any

import pytest

from sentiment.data import imdb
from sentiment.params import FetchParams
from tests.conftest import write_fetched
from workflow import before_repro
from workflow.params_file import load_params


@pytest.mark.usefixtures("offline")
def test_imdb_that_cannot_be_downloaded_is_replaced_by_the_synthetic_dataset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(before_repro, "run_dvc", lambda *_: 255)  # DVC's cache does not have it
    before_repro.use_synthetic_dataset_if_imdb_is_unavailable(load_params(), is_forced=False)
    assert load_params().fetch.dataset == "synthetic"
    printed = capsys.readouterr().err
    assert "The download failed." in printed
    assert "NOT IMDB's" in printed


@pytest.mark.usefixtures("offline")
def test_imdb_that_cannot_be_downloaded_comes_from_the_cache_of_dvc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands = []

    def run_dvc(*arguments: str) -> int:
        commands.append(arguments)
        write_fetched(load_params().fetch)
        return 0

    monkeypatch.setattr(before_repro, "run_dvc", run_dvc)
    before_repro.use_synthetic_dataset_if_imdb_is_unavailable(load_params(), is_forced=False)
    assert commands == [("checkout", "--quiet", "data/fetch")]
    assert load_params().fetch.dataset == "imdb"


@pytest.mark.parametrize(
    "fetched",
    [
        {"dataset": "synthetic"},
        {"dataset": "table", "table": {"train": "imdb.csv", "test": "imdb.csv"}},
    ],
    ids=lambda fetched: str(fetched["dataset"]),
)
@pytest.mark.usefixtures("offline")
def test_another_dataset_in_data_does_not_stand_for_imdb(
    fetched: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fetched(FetchParams.model_validate(fetched))
    monkeypatch.setattr(before_repro, "run_dvc", lambda *_: 0)  # DVC restores what it has
    before_repro.use_synthetic_dataset_if_imdb_is_unavailable(load_params(), is_forced=False)
    assert load_params().fetch.dataset == "synthetic"


@pytest.mark.usefixtures("params")
def test_imdb_that_was_fetched_before_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imdb, "fetch_files", pytest.fail)
    write_fetched(load_params().fetch)
    before_repro.use_synthetic_dataset_if_imdb_is_unavailable(load_params(), is_forced=False)
    assert load_params().fetch.dataset == "imdb"


@pytest.mark.usefixtures("in_tmp_path")
def test_what_a_killed_dvc_left_in_its_run_cache_is_removed() -> None:
    """Leave the folder that a running experiment has just made."""
    whole = before_repro.RUN_CACHE / "aa" / "aa11" / "bb22"
    whole.parent.mkdir(parents=True)
    whole.touch()
    (before_repro.RUN_CACHE / "aa" / ".DS_Store").touch()
    empty = before_repro.RUN_CACHE / "aa" / "aa22"
    fresh = before_repro.RUN_CACHE / "aa" / "aa33"
    empty.mkdir()
    fresh.mkdir()
    long_ago = time.time() - 2 * before_repro.MIN_CACHE_ENTRY_SECONDS
    for path in (whole.parent, empty):
        os.utime(path, (long_ago, long_ago))
    before_repro.remove_empty_cache_entries()
    assert whole.exists()
    assert not empty.exists()
    assert fresh.exists()
