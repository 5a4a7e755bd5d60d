"""Fixtures that several test modules use, and the rule that CI skips nothing."""

import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run
from ruamel.yaml import YAML
from selenium import webdriver

from sentiment.params import Params, check_params
from tests.browser import chromium
from tests.project import DEFAULT_PARAMS, EPOCHS, ROOT, SMALL, Project, change_params, merged

SMALL_IMDB: dict[str, Any] = {
    "fetch": {"dataset": "imdb"},
    "pad": {"num_words": 10_000, "max_length": 200},
    "train": {"embedding_units": 8, "units": 8, "epochs": 1, "batch_size": 256},
    "evaluate": {"length_buckets": [100, 200]},
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing may be absent, so a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {item.nodeid}: {call.excinfo}"
    return report


def defaults() -> dict[str, Any]:
    """The parameters that the project ships."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(DEFAULT_PARAMS)
    return document


@pytest.fixture
def default_params() -> Params:
    """The parameters that the project ships."""
    return check_params(defaults(), "params.yaml")


@pytest.fixture
def small_params() -> Params:
    """Parameters that make every stage take seconds."""
    return check_params(merged(defaults(), SMALL), "params.yaml")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def root(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with no store yet; MLflow forgets it afterwards."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; monkeypatch sets it back
    return in_tmp_path


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a project's root, at its own store: artifact locations are relative to it."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")


def runs() -> list[Run]:
    """All runs of the store in the working directory, the newest first."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("imdb-lstm")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


@pytest.fixture(scope="session")
def imdb_cache() -> Path:
    """Keras' dataset cache with the real files of IMDB in it."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    for name in ("imdb.npz", "imdb_word_index.json"):
        if not (home / "datasets" / name).is_file():
            pytest.skip(f"{name} is not in {home / 'datasets'}; `make repro` downloads it")
    return home / "datasets"


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project's files as a fresh repository, with small parameters; nothing run yet."""
    project = Project(tmp_path_factory.mktemp("clone") / "project")
    others = ["--", ".", ":(exclude)dvc.lock", ":(exclude)data/*/*"]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *others]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (project.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project.path / name)
    shutil.copy2(DEFAULT_PARAMS, project.path / "params.yaml")
    change_params(project.path / "params.yaml", SMALL)
    project.run("git", "init", "--quiet")
    project.commit()
    return project


@pytest.fixture(scope="session")
def finished(clone: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone after its first `dvc repro`, committed; tests copy it and leave it alone."""
    project = Project(tmp_path_factory.mktemp("finished") / "project")
    shutil.copytree(clone.path, project.path)
    output = project.run("dvc", "repro")
    assert "Test Accuracy: 0." in output
    project.commit()
    return project


@pytest.fixture(scope="session")
def whole(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/` of a training of `EPOCHS` epochs that nothing disturbed."""
    project = Project(tmp_path_factory.mktemp("whole") / "project")
    shutil.copytree(finished.path, project.path, symlinks=True)
    project.change(train={"epochs": EPOCHS})
    project.run("dvc", "repro")
    return project.path / "data"


@pytest.fixture(scope="session")
def imdb_project(
    clone: Project, imdb_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A project whose small model was trained on IMDB, and is champion by the rule."""
    project = Project(tmp_path_factory.mktemp("imdb") / "project")
    shutil.copytree(clone.path, project.path)
    project.environment["KERAS_HOME"] = str(imdb_cache.parent)
    project.change(**SMALL_IMDB)
    output = project.run("dvc", "repro")
    assert "Version 1 of imdb-sentiment: champion, there was no champion" in output
    return project


@pytest.fixture
def fresh(clone: Project, tmp_path: Path) -> Project:
    """A clone of one's own in which nothing was run yet."""
    shutil.copytree(clone.path, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A finished project of one's own, in another place than it was made in."""
    shutil.copytree(finished.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as chrome:
        yield chrome


Starter = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Starter]:
    """Start commands of a project that are ended with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(project: Project, *command: str, **environment: str) -> "subprocess.Popen[str]":
        processes.append(project.start(*command, **environment))
        return processes[-1]

    yield start_one
    for process in processes:
        process.terminate()
        process.communicate(timeout=60)
