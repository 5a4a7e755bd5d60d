"""Workers here use one core each, and workers on other machines run the same commit."""

import os
from pathlib import Path
from unittest.mock import Mock

import distributed
import pytest
from distributed import KilledWorker
from distributed.client import FutureCancelledError

from extras.batch_predict import cluster
from extras.common.threads import THREADS
from sentiment.errors import UserError
from tests.project import Project


@pytest.fixture(autouse=True)
def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look like a new process: without a known commit, and without variables of a cluster."""
    cluster.commit.cache_clear()
    for name in (THREADS, "DASK_LOGGING__DISTRIBUTED"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.slow
def test_local_workers_have_one_thread_each_and_refuse_foreign_clients() -> None:
    with cluster.local_cluster(2) as client:
        assert [*client.run(os.environ.get, THREADS).values()] == ["1", "1"]
        address = client.scheduler.addr.partition("://")[2]
        with pytest.raises(OSError, match="closed"):
            distributed.Client(f"tcp://{address}", timeout=30)


def test_scheduler_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    url = "tcp://127.0.0.1:1"
    with (
        pytest.raises(UserError, match=f"Dask scheduler at {url} does not answer"),
        cluster.remote_cluster(url),
    ):
        pass


def test_part_that_killed_several_workers_is_reported() -> None:
    future = Mock(**{"result.side_effect": KilledWorker("part", "tcp://127.0.0.1:1", 3)})
    with pytest.raises(UserError, match="killed each worker that tried it"):
        cluster.task_result(future)


def test_scheduler_that_is_lost_while_it_sends_a_result_is_reported() -> None:
    future = Mock(**{"result.side_effect": FutureCancelledError("part", "connection-lost")})
    with pytest.raises(UserError, match="The connection to the Dask scheduler is lost"):
        cluster.task_result(future)


@pytest.fixture
def repository(root: Path) -> Project:
    """A folder with committed code."""
    project = Project(root)
    (root / "stages").mkdir()
    (root / "stages" / "train.py").write_text("units = 32\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.commit()
    return project


@pytest.mark.slow
def test_uncommitted_code_is_refused_for_workers_elsewhere(repository: Project) -> None:
    (repository.path / "params.yaml").touch()  # not code
    assert cluster.commit() == repository.read("git", "rev-parse", "HEAD").strip()
    cluster.commit.cache_clear()
    (repository.path / "stages" / "new.py").touch()
    with pytest.raises(
        UserError, match=r"uncommitted changes:\n.*stages/new\.py\n.*Commit the code"
    ):
        cluster.commit()
