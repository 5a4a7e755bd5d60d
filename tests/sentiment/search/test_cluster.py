"""Workers share a machine; those elsewhere get the code, and are asked what they have."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import distributed
import pytest
from distributed.security import Security

from sentiment.errors import UserError
from sentiment.search import cluster, workers
from sentiment.search.trial import Task
from tests.project import ROOT
from tests.sentiment.search.conftest import elsewhere


@pytest.mark.parametrize(("count", "each"), [(1, 8), (2, 4), (3, 2), (20, 1)])
def test_workers_share_the_cores_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, count: int, each: int
) -> None:
    monkeypatch.setattr(cluster, "usable_cores", lambda: 8)
    assert cluster.threads(count) == each


@pytest.mark.parametrize(("memory", "cores", "count"), [(64e9, 8, 8), (8e9, 8, 2), (1e9, 8, 1)])
def test_as_many_workers_as_have_a_core_and_memory_are_started(
    monkeypatch: pytest.MonkeyPatch, memory: float, cores: int, count: int
) -> None:
    monkeypatch.setattr(cluster, "usable_cores", lambda: cores)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=memory))
    assert cluster.fitting() == count


def test_who_reaches_the_port_of_a_cluster_here_is_not_let_in() -> None:
    with cluster.local(1) as client:
        address = client.scheduler.addr.partition("://")[2]
        with pytest.raises(OSError, match="closed"):
            distributed.Client(f"tcp://{address}", timeout=3)
        with pytest.raises(OSError, match="certificate"):
            distributed.Client(f"tls://{address}", timeout=3, security=Security.temporary())


def test_another_environment_of_a_worker_is_told_by_its_versions(task: Task) -> None:
    with cluster.local(1) as client, workers.shared(client, task) as given:
        for kind, here in given.versions.items():
            other = {**given.versions, kind: "0.1"}
            with pytest.raises(UserError, match=re.escape(f"{kind} {here}, not 0.1")):
                client.run(cluster.require_versions, other)
        client.run(cluster.require_versions, given.versions)


def test_a_package_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PACKAGES", ("numpy", "not-installed"))
    assert cluster.versions()["not-installed"] == "is missing"


def test_workers_take_the_code_of_the_newest_sweep_and_that_of_an_earlier_one_again(
    tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed" / "sentiment"
    shutil.copytree(ROOT / "sentiment", changed)
    (changed / "__init__.py").write_text("# changed", encoding="utf-8")
    zipped = cluster.zipped
    with elsewhere(tmp_path, task) as (_, client, given):
        with monkeypatch.context() as patched:
            patched.setattr(cluster, "zipped", lambda _, folder: zipped(changed, folder))
            with cluster.code_shared(client):
                (newest,) = client.run(cluster.code).values()
        with cluster.code_shared(client):
            (again,) = client.run(cluster.code).values()
    assert re.fullmatch(r"sentiment-[0-9a-f]{16}\.zip", given.code)
    assert newest != given.code
    assert again == given.code
