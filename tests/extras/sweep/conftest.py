"""A small sweep, its reviews and its database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import FrozenTrial
from ruamel.yaml import YAML

from extras.sweep import __main__ as command
from extras.sweep import study
from extras.sweep.config import CONFIG_FILE, SweepConfig
from extras.sweep.trial import Sweep
from sentiment.data import synthetic
from sentiment.data.params import describe_dataset
from sentiment.tokenizer import Reviews
from stages import pad, train
from tests.conftest import Caller, Sharer, curve, own_copy, runs, stand_in
from tests.project import ROOT, Project
from workflow.checkpoints import FOLDER, STATE_FILE
from workflow.params import Params, load_yaml

CONFIG: dict[str, Any] = {
    "confirm": {"top": 1, "seeds": 2},
    "space": {
        "train.units": {"choices": [3, 4]},
        "train.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "pad.max_length": {"low": 30, "high": 40, "step": 10},
    },
}


def change_config(project: Project, **changes: Any) -> None:
    """Replace values of a project's config of sweeps."""
    yaml = YAML(typ="safe", pure=True)
    path = project.path / CONFIG_FILE
    yaml.dump({**yaml.load(path), **changes}, path)


def checkpoint_keys(project: Project) -> set[str]:
    """Return the keys of all checkpoints."""
    return {path.parent.name for path in project.path.glob(f"{FOLDER}/*/{STATE_FILE}")}


def parent() -> Run:
    """Return the parent run of the only sweep in the tracking store."""
    (run,) = mlflow.MlflowClient().search_runs(["1"], "tags.`sweep.key` LIKE '%'")
    return run


def children() -> list[Run]:
    """Return the child runs of the only sweep in the tracking store, the oldest first."""
    which = f"tags.`mlflow.parentRunId` = '{parent().info.run_id}'"
    return list(mlflow.MlflowClient().search_runs(["1"], which))[::-1]


def trials(ending: str = "") -> list[FrozenTrial]:
    """Return the trials that count of that sweep, or the trials of its confirmation."""
    name = f"sweep-{parent().data.tags['sweep.key']}{ending}"
    return study.counted_trials(optuna.load_study(study_name=name, storage=study.storage_url()))


def require_curve_of_stage(call: Caller, trial: Run) -> None:
    """Check that the stages with the params in `params.yaml` have the curve of a trial."""
    for stage in (pad, train):
        call(stage.main)
    newest = runs()[0].info.run_id
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert curve(trial.info.run_id, metric) == curve(newest, metric)


@pytest.fixture
def config() -> SweepConfig:
    """The config that the project ships."""
    return load_yaml(SweepConfig, ROOT / CONFIG_FILE)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty database, which the processes of a sweep find in their environment."""
    url = f"sqlite:///{tmp_path}/sweeps.db"
    monkeypatch.setenv(study.STORAGE, url)
    yield url
    study.connect.cache_clear()


@pytest.fixture
def reviews(small_params: Params) -> Reviews:
    """The training set of the synthetic dataset."""
    train, _, _ = synthetic.generate(small_params.fetch.synthetic)
    return train


@pytest.fixture
def small_sweep(small_params: Params, config: SweepConfig) -> Sweep:
    """A sweep of short trainings that prunes none and confirms the best two with two seeds."""
    confirm = config.confirm.model_copy(update={"top": 2, "seeds": 2})
    config = config.model_copy(update={"pruner": "none", "confirm": confirm})
    dataset = describe_dataset(small_params.fetch)
    return Sweep("sweep-x", "parent", small_params, config, dataset, {}, {})


@pytest.fixture(scope="session")
def swept(finished: Project, shared: Sharer) -> Project:
    """A finished project after a sweep of two trials by one process."""

    def search(project: Project) -> None:
        change_config(project, **CONFIG)
        project.run("git", "commit", "--all", "--quiet", "--message", "space")
        with pytest.MonkeyPatch.context() as patch:
            stand_in(project.path, patch)
            Caller(patch)(command.main, "--trials", "2", "--workers", "1")

    return shared("swept", search, finished.path)


@pytest.fixture
def project(swept: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `swept`, which is the working directory."""
    return own_copy(swept, tmp_path, monkeypatch)
