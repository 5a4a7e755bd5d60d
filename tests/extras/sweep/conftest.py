"""Sweeps of trials that fail at once, and workers elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import distributed
import pytest

from extras.sweep import cluster, study, sweep
from extras.sweep.sweep_options import FILE, SweepOptions, Values, load_options
from extras.sweep.trial import Task
from sentiment.data import synthetic
from tests.conftest import defaults
from tests.project import ROOT, merged
from tests.services import Cluster, dask
from workflow import files
from workflow.files import FETCH, write_reviews
from workflow.params import Params, check_params


@pytest.fixture(autouse=True)
def another_process() -> None:
    """The process of these tests has looked at no commit yet."""
    cluster.commit.cache_clear()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of sweeps, which workers find in their environment."""
    address = f"sqlite:///{tmp_path}/sweeps.db"
    monkeypatch.setenv(study.STORAGE, address)
    return address


@pytest.fixture
def fetched(root: Path, small_params: Params) -> Path:
    """A folder with the reviews of the generated set."""
    train, _, _ = synthetic.generate(small_params.fetch.synthetic)
    with files.replaced(FETCH) as folder:
        write_reviews(folder, "train", train)
        files.write_about(folder, {})
    return root


@pytest.fixture
def task(fetched: Path, sweep_options: SweepOptions) -> Task:
    """Trials that fail at once, since their values do not go together."""
    assert fetched.is_dir()
    space = {"train.forget_bias": Values(choices=[2.0, 3.0])}
    params = check_params(merged(defaults(), {"train": {"cell": "gru"}}), "params.yaml")
    options = sweep_options.model_copy(update={"space": space})
    return Task(params, options, {}, sweep.reviews_digest(), {}, {}, "parent", "")


@pytest.fixture
def elsewhere(
    fetched: Path, url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A scheduler and a worker, each in a copy of this folder, that know the same database."""
    assert url
    folder = tmp_path_factory.mktemp("cluster")
    with dask(folder, fetched, workers=1, PYTHONPATH=str(ROOT)) as started:
        with distributed.Client(started.address) as waiting:
            waiting.wait_for_workers(1)
        yield started


@contextmanager
def connected(started: Cluster) -> Iterator[tuple["distributed.Client", dict[str, str]]]:
    """A client of a cluster, and what its workers must have."""
    required = cluster.environment()
    with cluster.connected(started.address, required) as client:
        yield client, required


@pytest.fixture
def sweep_options() -> SweepOptions:
    """What the project ships to be searched."""
    return load_options(ROOT / FILE)
