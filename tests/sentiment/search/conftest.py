"""Sweeps of trials that fail at once, and workers elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import distributed
import numpy as np
import pytest

from sentiment.params import check_params
from sentiment.search import cluster, study, workers
from sentiment.search.trial import Task
from sentiment.serving.sequences import Reviews
from tests.conftest import defaults
from tests.project import merged
from tests.services import Cluster, dask


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of sweeps, which workers find in their environment."""
    address = f"sqlite:///{tmp_path}/sweeps.db"
    monkeypatch.setenv(study.STORAGE, address)
    return address


@pytest.fixture
def task() -> Task:
    """Trials that fail at once, since their values do not go together."""
    space = {"train.forget_bias": {"choices": [2.0, 3.0]}}
    changes = {"train": {"cell": "gru"}, "sweep": {"space": space}}
    params = check_params(merged(defaults(), changes), "params.yaml")
    none = Reviews(np.zeros(0, np.uint16), np.zeros(1, np.int64), np.zeros(0, np.uint8))
    return Task(params, {}, none, {}, {}, "parent", "")


@contextmanager
def elsewhere(
    folder: Path, task: Task
) -> Iterator[tuple[Cluster, "distributed.Client", workers.Shared]]:
    """A scheduler and a worker in an empty folder, without a clone, with what trials share."""
    with dask(folder, workers=1) as started:
        with distributed.Client(started.address) as waiting:
            waiting.wait_for_workers(1)
        with (
            cluster.connected(started.address) as client,
            workers.shared(client, task) as given,
        ):
            yield started, client, given
