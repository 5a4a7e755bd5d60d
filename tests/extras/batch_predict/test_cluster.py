"""Workers share a machine; those elsewhere run clones at the same commit."""

import os
from pathlib import Path
from unittest.mock import Mock

import distributed
import pytest
from distributed.client import FutureCancelledError

from extras.batch_predict import cluster
from extras.batch_predict.cluster import THREADS
from extras.batch_predict.run import ADVICE
from sentiment.errors import UserError
from tests.project import Project


@pytest.fixture(autouse=True)
def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has looked at no commit yet, and has no variables that a cluster here has set."""
    cluster.commit.cache_clear()
    for name in (THREADS, "DASK_LOGGING__DISTRIBUTED"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.slow
def test_workers_here_share_the_cores_and_who_reaches_their_port_is_not_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "usable_cores", lambda: 5)
    with cluster.local_cluster(2) as client:
        assert [*client.run(os.environ.get, THREADS).values()] == ["2", "2"]
        address = client.scheduler.addr.partition("://")[2]
        with pytest.raises(OSError, match="closed"):
            distributed.Client(f"tcp://{address}", timeout=30)


def test_a_scheduler_that_does_not_answer_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    address = "tcp://127.0.0.1:1"
    with (
        pytest.raises(UserError, match=f"Dask scheduler at {address} does not answer"),
        cluster.remote_cluster(address, "batch_predict", cluster.package_versions, ADVICE),
    ):
        pass


def test_a_scheduler_that_goes_while_it_sends_a_result_is_one_message() -> None:
    future = Mock(**{"result.side_effect": FutureCancelledError("part", "connection-lost")})
    with pytest.raises(UserError, match="scheduler does not answer any more"):
        cluster.task_result(future)


@pytest.fixture
def repository(root: Path) -> Project:
    """A folder whose code is committed."""
    project = Project(root)
    (root / "stages").mkdir()
    (root / "stages" / "train.py").write_text("units = 32\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.commit()
    return project


@pytest.mark.slow
def test_code_that_is_not_committed_is_refused_for_workers_elsewhere(repository: Project) -> None:
    (repository.path / "params.yaml").touch()  # which is not code
    assert cluster.commit() == repository.read("git", "rev-parse", "HEAD").strip()
    cluster.commit.cache_clear()
    (repository.path / "stages" / "new.py").touch()
    with pytest.raises(UserError, match=r"uncommitted changes:\n.*stages/new\.py\n.*Commit its"):
        cluster.commit()
