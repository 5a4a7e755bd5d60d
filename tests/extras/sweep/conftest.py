"""A small sweep, its reviews and its database, and workers elsewhere."""

from pathlib import Path

import pytest

from extras.common import cluster
from extras.common.cluster import THREADS
from extras.sweep import study
from extras.sweep.sweep import Sweep
from extras.sweep.sweep_options import FILE, SweepOptions
from sentiment.data import synthetic
from sentiment.data.params import describe_dataset
from sentiment.tokenizer import Reviews
from tests.project import ROOT
from workflow import files
from workflow.about import About, write_about
from workflow.files import FETCH, write_reviews
from workflow.params import Params, load_yaml


@pytest.fixture(autouse=True)
def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has looked at no commit yet, and has no variables that a cluster here has set."""
    cluster.commit.cache_clear()
    for name in (THREADS, "DASK_LOGGING__DISTRIBUTED"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def sweep_options() -> SweepOptions:
    """What the project ships to be searched."""
    return load_yaml(SweepOptions, ROOT / FILE)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of sweeps, which workers find in their environment."""
    address = f"sqlite:///{tmp_path}/sweeps.db"
    monkeypatch.setenv(study.STORAGE, address)
    return address


@pytest.fixture
def reviews(small_params: Params) -> Reviews:
    """The training part of the generated set."""
    train, _, _ = synthetic.generate(small_params.fetch.synthetic)
    return train


@pytest.fixture
def fetched(root: Path, reviews: Reviews) -> Path:
    """A folder with these reviews."""
    with files.atomic_folder(FETCH) as folder:
        write_reviews(folder, "train", reviews)
        write_about(folder, About())
    return root


@pytest.fixture
def small_sweep(small_params: Params, sweep_options: SweepOptions) -> Sweep:
    """A sweep of short trainings that prunes none and confirms the best two with two seeds."""
    confirm = sweep_options.confirm.model_copy(update={"top": 2, "seeds": 2})
    options = sweep_options.model_copy(update={"pruner": "none", "confirm": confirm})
    dataset = describe_dataset(small_params.fetch)
    return Sweep("sweep-x", "parent", "", small_params, options, dataset, {}, {})
