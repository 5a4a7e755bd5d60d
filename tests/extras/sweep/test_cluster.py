"""Workers share a machine; those elsewhere run clones, and are asked what they have."""

import os
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import distributed
import pytest
from distributed.security import Security

from extras.sweep import cluster, study
from extras.sweep.trial import THREADS
from sentiment.errors import UserError
from tests.project import Project
from tests.services import Cluster, dask
from workflow.files import FETCH


@pytest.mark.parametrize(("memory", "cores", "count"), [(64e9, 8, 8), (8e9, 8, 2), (1e9, 8, 1)])
def test_as_many_workers_as_have_a_core_and_memory_are_started(
    monkeypatch: pytest.MonkeyPatch, memory: float, cores: int, count: int
) -> None:
    monkeypatch.setattr(cluster, "usable_cores", lambda: cores)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=memory))
    assert cluster.fitting() == count


def test_workers_here_share_the_cores_and_who_reaches_their_port_is_not_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "usable_cores", lambda: 5)
    monkeypatch.setenv(THREADS, "")
    monkeypatch.delenv(THREADS)
    with cluster.local(2) as client:
        assert [*client.run(os.environ.get, THREADS).values()] == ["2", "2"]
        address = client.scheduler.addr.partition("://")[2]
        with pytest.raises(OSError, match="closed"):
            distributed.Client(f"tcp://{address}", timeout=3)
        with pytest.raises(OSError, match="certificate"):
            distributed.Client(f"tls://{address}", timeout=3, security=Security.temporary())


@pytest.mark.parametrize(
    ("protocol", "reason"), [("tcp", ""), ("tls", ".*check your TLS configuration")]
)
def test_a_scheduler_that_does_not_answer_is_one_message(
    monkeypatch: pytest.MonkeyPatch, protocol: str, reason: str
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    message = f"Dask scheduler at {protocol}://127.0.0.1:1 does not answer{reason}"
    with (
        pytest.raises(UserError, match=message),
        cluster.connected(f"{protocol}://127.0.0.1:1", ()),
    ):
        pass


def test_a_scheduler_without_workers_is_one_message(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with dask(tmp_path_factory.mktemp("cluster"), root, workers=0) as started:
        message = f"has no workers: start some with `python -m dask worker {started.address}"
        with pytest.raises(UserError, match=message), cluster.connected(started.address, ()):
            pass


def test_everything_in_which_a_worker_differs_is_in_one_message(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    required = cluster.environment()
    cluster.require_same(required)
    shutil.rmtree(fetched / FETCH)
    with pytest.raises(UserError, match=r"data/fetch missing, not \w{8}\. .*`dvc pull fetch`"):
        cluster.require_same(required)
    monkeypatch.setenv(study.STORAGE, "postgresql://user:sesame@head/sweeps?sslmode=require")
    message = r"keras [\d.]+, not 0\.1; database postgresql://head/sweeps, not postgresql://other"
    with pytest.raises(UserError, match=message):
        cluster.require_same((("keras", "0.1"), ("database", "postgresql://other")))


@pytest.fixture
def repository(fetched: Path) -> Project:
    """A folder whose code is committed."""
    project = Project(fetched)
    (fetched / "sentiment").mkdir()
    (fetched / "sentiment" / "model.py").write_text("units = 32\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.commit()
    return project


def test_code_that_is_not_committed_is_refused_for_workers_elsewhere(repository: Project) -> None:
    (repository.path / "params.yaml").write_text("train: {}\n", encoding="utf-8")
    (repository.path / "extras" / "sweep").mkdir(parents=True)
    (repository.path / "extras" / "sweep" / "sweep.yaml").write_text("seed: 1\n", encoding="utf-8")
    cluster.require_committed()
    cluster.commit.cache_clear()
    (repository.path / "sentiment" / "model.py").write_text("units = 64\n", encoding="utf-8")
    (repository.path / "sentiment" / "new.py").touch()
    message = r"uncommitted changes of sentiment/model\.py, sentiment/new\.py\. Commit its code"
    with pytest.raises(UserError, match=message):
        cluster.require_committed()
    cluster.commit.cache_clear()
    shutil.rmtree(repository.path / ".git")
    with pytest.raises(UserError, match=r"which is at no commit\. Commit"):
        cluster.require_committed()


@pytest.mark.usefixtures("repository")
def test_a_worker_at_another_commit_or_with_changed_code_is_refused(elsewhere: Cluster) -> None:
    """Also one whose clone was brought to the commit after it had loaded another one's code."""
    required = cluster.environment()
    commit = dict(required)["commit"]
    worker = Project(elsewhere.output.parent / "worker-0")
    (worker.path / "sentiment" / "model.py").write_text("units = 64\n", encoding="utf-8")
    changed = rf"commit {commit} with uncommitted changes of sentiment/model\.py, not"
    with pytest.raises(UserError, match=changed), cluster.connected(elsewhere.address, required):
        pass
    worker.run("git", "checkout", "--quiet", "--", ".")
    with pytest.raises(UserError, match=changed), cluster.connected(elsewhere.address, required):
        pass
    with distributed.Client(elsewhere.address) as client:
        client.restart()
    with cluster.connected(elsewhere.address, required):
        pass
    worker.run("git", "commit", "--quiet", "--allow-empty", "--message", "another")
    with distributed.Client(elsewhere.address) as client:
        client.restart()
    another = rf"commit {worker.read('git', 'rev-parse', 'HEAD').strip()}, not {commit}"
    with pytest.raises(UserError, match=another), cluster.connected(elsewhere.address, required):
        pass


def test_a_worker_without_the_code_of_the_sweep_is_one_message(elsewhere: Cluster) -> None:
    """As one at a commit that has other modules."""
    other = elsewhere.output.parent / "other"
    (other / "sentiment").mkdir(parents=True)
    (other / "sentiment" / "__init__.py").touch()
    elsewhere.start_worker("other")
    with distributed.Client(elsewhere.address) as client:
        client.wait_for_workers(2)
    message = (
        r"cannot import this project: .*No module named.* clones of it .*`python -m dask worker"
    )
    required = cluster.environment()
    with pytest.raises(UserError, match=message), cluster.connected(elsewhere.address, required):
        pass


def test_a_package_that_a_worker_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(cluster, "version", version)
    assert ("optuna", "missing") in cluster.environment()
