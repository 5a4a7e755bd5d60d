"""Workers share a machine; those elsewhere run clones, and are asked what they have."""

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import distributed
import pytest
from distributed.security import Security

from extras.sweep import cluster, study, workers
from extras.sweep.trial import THREADS
from sentiment.errors import UserError
from tests.project import ROOT, Project, until
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
    with cluster.local(2) as client:
        assert [*client.run(os.environ.get, THREADS).values()] == ["2", "2"]
        address = client.scheduler.addr.partition("://")[2]
        with pytest.raises(OSError, match="closed"):
            distributed.Client(f"tcp://{address}", timeout=3)
        with pytest.raises(OSError, match="certificate"):
            distributed.Client(f"tls://{address}", timeout=3, security=Security.temporary())


def refusal(address: str, required: cluster.Environment = ()) -> str:
    """The message with which a cluster is refused."""
    with pytest.raises(UserError) as raised, cluster.connected(address, required):
        pass
    return str(raised.value)


@pytest.mark.parametrize(
    ("protocol", "reason"), [("tcp", ""), ("tls", "check your TLS configuration")]
)
def test_a_scheduler_that_does_not_answer_is_one_message(
    monkeypatch: pytest.MonkeyPatch, protocol: str, reason: str
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    message = refusal(f"{protocol}://127.0.0.1:1")
    assert f"Dask scheduler at {protocol}://127.0.0.1:1 does not answer" in message
    assert reason in message


def test_no_workers_one_with_another_database_and_one_without_the_code_are_one_message(
    fetched: Path, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without the code is one at a commit that has other modules."""
    folder, required = tmp_path_factory.mktemp("cluster"), cluster.environment()
    environment = {"PYTHONPATH": str(ROOT), study.STORAGE: "postgresql://ann:sesame@head/sweeps"}
    with dask(folder, fetched, workers=0, **environment) as started:
        start = f"has no workers: start some with `python -m dask worker {started.address}"
        assert start in refusal(started.address)

        started.start_worker("worker-0")
        with distributed.Client(started.address) as client:
            client.wait_for_workers(1)
        message = refusal(started.address, required)
        assert f"database postgresql://head/sweeps, not {url}" in message
        assert "with the sweep's SWEEP_STORAGE in its environment" in message
        until(lambda: "Run Failed" in started.output.read_text(), seconds=30)
        assert "sesame" not in message + started.output.read_text()

        (folder / "other" / "sentiment").mkdir(parents=True)
        (folder / "other" / "sentiment" / "__init__.py").touch()
        started.workers[0].terminate()
        started.workers[0].wait(timeout=30)
        started.start_worker("other")
        with distributed.Client(started.address) as client:
            until(lambda: [Path(cwd).name for cwd in client.run(os.getcwd).values()] == ["other"])
        message = refusal(started.address, required)
    assert re.search("cannot import this project: .*No module named.* clones of it at", message)


@pytest.fixture
def repository(fetched: Path) -> Project:
    """A folder whose code is committed."""
    project = Project(fetched)
    (fetched / "sentiment").mkdir()
    (fetched / "sentiment" / "model.py").write_text("units = 32\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.commit()
    return project


def test_code_that_is_not_committed_is_refused_for_workers_elsewhere(
    repository: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(study.STORAGE, "postgresql://head/sweeps")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://head:5000")
    (repository.path / "params.yaml").write_text("train: {}\n", encoding="utf-8")
    (repository.path / "extras" / "sweep").mkdir(parents=True)
    (repository.path / "extras" / "sweep" / "sweep.yaml").write_text("seed: 1\n", encoding="utf-8")
    cluster.require_shared()
    (repository.path / "sentiment" / "model.py").write_text("units = 64\n", encoding="utf-8")
    (repository.path / "sentiment" / "new.py").touch()
    changed = r"uncommitted changes of sentiment/model\.py, sentiment/new\.py\. Commit its code"
    for message in (changed, r"which is at no commit\. Commit"):
        cluster.commit.cache_clear()
        with pytest.raises(UserError, match=message):
            cluster.require_shared()
        shutil.rmtree(repository.path / ".git", ignore_errors=True)


@pytest.mark.usefixtures("repository")
def test_a_worker_at_another_commit_or_with_changed_code_is_refused(elsewhere: Cluster) -> None:
    """Also one whose clone was brought to the commit after it had loaded another one's code."""
    required = cluster.environment()
    commit = dict(required)["commit"]
    worker = Project(elsewhere.output.parent / "worker-0")
    (worker.path / "sentiment" / "model.py").write_text("units = 64\n", encoding="utf-8")
    changed = f"commit {commit} with uncommitted changes of sentiment/model.py, not"
    assert changed in refusal(elsewhere.address, required)
    worker.run("git", "checkout", "--quiet", "--", ".")
    assert changed in refusal(elsewhere.address, required)
    with distributed.Client(elsewhere.address) as client:
        client.restart()
        with cluster.connected(elsewhere.address, required):
            pass
        worker.run("git", "commit", "--quiet", "--allow-empty", "--message", "another")
        client.restart()
    another = worker.read("git", "rev-parse", "HEAD").strip()
    assert f"commit {another}, not {commit}" in refusal(elsewhere.address, required)


def test_everything_in_which_a_worker_differs_is_in_one_message(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in that of a worker here that begins after `data/fetch` has got other reviews."""
    required, here = cluster.environment(), cluster.reviews()
    cluster.require_same(required)
    shutil.rmtree(fetched / FETCH)
    with pytest.raises(UserError, match=r"data/fetch missing, not \w{8}\. .*`dvc pull fetch`"):
        cluster.require_same(required)
    with pytest.raises(UserError, match="data/fetch has other reviews than the sweep began with"):
        workers.load("some", b"", here)
    monkeypatch.setenv(study.STORAGE, "postgresql://user:sesame@[::1]/sweeps?password=sesame")
    shown = re.escape("database postgresql://[::1]/sweeps, not postgresql://other")
    with pytest.raises(UserError, match=rf"keras [\d.]+, not 0\.1; {shown}"):
        cluster.require_same((("keras", "0.1"), ("database", "postgresql://other")))
