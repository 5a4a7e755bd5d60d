"""Workers share a machine; those elsewhere run clones, and are asked what they have."""

import os
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import distributed
import pytest
from distributed.client import FutureCancelledError

from extras.common import cluster
from extras.common.cluster import THREADS
from extras.sweep import __main__ as sweep
from extras.sweep import environment
from sentiment.errors import UserError
from tests.project import Project

OWN = ("sweep", environment.environment, environment.ADVICE)  # what a sweep asks of workers


@pytest.mark.parametrize(("memory", "count"), [(64e9, 8), (8e9, 2), (1e9, 1)])
def test_as_many_workers_as_have_a_core_and_memory_are_started(
    monkeypatch: pytest.MonkeyPatch, memory: float, count: int
) -> None:
    monkeypatch.setattr(sweep, "usable_cores", lambda: 8)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=memory))
    assert sweep.fitting() == count


@pytest.mark.slow
def test_workers_here_share_the_cores_and_who_reaches_their_port_is_not_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "usable_cores", lambda: 5)
    with cluster.local(2) as client:
        assert [*client.run(os.environ.get, THREADS).values()] == ["2", "2"]
        address = client.scheduler.addr.partition("://")[2]
        with pytest.raises(OSError, match="closed"):
            distributed.Client(f"tcp://{address}", timeout=30)


def test_a_scheduler_that_does_not_answer_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    address = "tcp://127.0.0.1:1"
    with (
        pytest.raises(UserError, match=f"Dask scheduler at {address} does not answer"),
        cluster.connected(address, *OWN),
    ):
        pass


def test_a_scheduler_that_goes_while_it_sends_a_result_is_one_message() -> None:
    future = Mock(**{"result.side_effect": FutureCancelledError("part", "connection-lost")})
    with pytest.raises(UserError, match="scheduler does not answer any more"):
        cluster.result(future)


@pytest.fixture
def repository(fetched: Path) -> Project:
    """A folder whose code is committed, with reviews that are not."""
    project = Project(fetched)
    (fetched / "stages").mkdir()
    (fetched / "stages" / "train.py").write_text("units = 32\n", encoding="utf-8")
    (fetched / ".gitignore").write_text("data\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.commit()
    return project


@pytest.mark.slow
def test_code_that_is_not_committed_is_refused_for_workers_elsewhere(repository: Project) -> None:
    (repository.path / "extras" / "sweep").mkdir(parents=True)
    for name in ("params.yaml", "extras/sweep/sweep.yaml"):  # which are sent with each task
        (repository.path / name).touch()
    assert cluster.commit() == repository.read("git", "rev-parse", "HEAD").strip()
    cluster.commit.cache_clear()
    (repository.path / "stages" / "new.py").touch()
    with pytest.raises(UserError, match=r"uncommitted changes:\n.*stages/new\.py\n.*Commit its"):
        cluster.commit()
