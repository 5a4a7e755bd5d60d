"""Fixtures that several test modules use, and the rule that CI skips nothing.

Most tests use a small project that the stages made in the tests' process, because a real command
imports TensorFlow and MLflow first, which takes seconds. `tests/contract` runs pipelines by real
commands.
"""

import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from filelock import FileLock

from sentiment.project import paths
from sentiment.project.libraries import quiet_libraries
from sentiment.tracking import registry, store
from tests.small_project import MODEL, ROOT, SMALL, ProjectCopy

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail skipped tests in CI, where nothing may be missing."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {item.nodeid}: {call.excinfo}"
    return report


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    """Apply the settings of a stage or a command, and wait for no server."""
    quiet_libraries()
    store.try_only_once()
    platform.processor()  # starts `uname` once; libraries would while a test imports them


@pytest.fixture(autouse=True)
def nothing_is_started(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test without the marker `slow` fail if it starts a process."""
    if request.node.get_closest_marker("slow"):
        return

    def refuse(*arguments: object, **_: object) -> None:
        pytest.fail(f"A test that is not slow starts {arguments[0]}")

    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder without a store the working directory, and return it."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; monkeypatch sets it back
    return tmp_path


@pytest.fixture
def params(in_tmp_path: Path) -> Path:
    """Return a folder with the params, the presets and the tables of the project."""
    for name in ("params.yaml", "presets/linear.yaml", "data/example.csv"):
        (in_tmp_path / name).parent.mkdir(exist_ok=True)
        (in_tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return in_tmp_path


@pytest.fixture(scope="session")
def empty_store_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with the experiment of IMDB. To make one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        project = paths.Project.here()
        registry.open_trainings(project, store.connect(project), "imdb")
    return folder / store.DATABASE


@pytest.fixture
def empty_store(in_tmp_path: Path, empty_store_once: Path) -> "MlflowClient":
    """Make a folder with a store without runs the working directory, and return its client."""
    shutil.copy2(empty_store_once, in_tmp_path)
    move_store(in_tmp_path, empty_store_once.parent)
    return store.connect(paths.Project.here())


# The columns of a store that have the path of its artifacts
PATHS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


def move_store(folder: Path, before: Path) -> None:
    """Change the paths in a store that was copied into another folder, if there is a store."""
    if not (folder / "mlflow.db").exists():
        return
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        for table, column in PATHS.items():
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(change, (f"{before}/", f"{folder}/"))


MakeProject = Callable[..., ProjectCopy]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> MakeProject:
    """Create a project once for all processes that run these tests. Tests must not change it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def shared_project(
        name: str, make: Callable[[ProjectCopy], None], of: Path | None = None
    ) -> ProjectCopy:
        folder = root / f"shared-{name}"
        with FileLock(root / f"shared-{name}.lock"):
            if not (folder / "made").exists():
                shutil.rmtree(folder, ignore_errors=True)
                if of:
                    copy_project(ProjectCopy(of), folder / "project")
                make(ProjectCopy(folder / "project"))
                (folder / "made").touch()
        return ProjectCopy(folder / "project")

    return shared_project


def copy_project(project: ProjectCopy, path: Path) -> ProjectCopy:
    """Copy a project with its store to another path."""
    copy = project.copy(path)
    move_store(copy.path, project.path)
    return copy


def copy_project_files(project: ProjectCopy) -> None:
    """Copy the files that commands need into a fresh repository, with small params."""
    names = [
        "params.yaml",
        "dvc.yaml",
        "data",
        ".dvc",
        ".gitignore",
        ".dvcignore",
    ]
    names += ["presets", "sentiment", "stages"]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (project.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project.path / name)
    project.change(**SMALL)
    project.run("git", "init", "--quiet")
    project.commit()


def run_stages(project: ProjectCopy, *names: str, store: str = "") -> None:
    """Run stages in this process, all of them if no names are given. DVC is not told.

    Args:
        project: the project.
        names: the stages.
        store: URI of the tracking store, instead of the project's own.
    """
    from sentiment.backend import load_keras
    from stages import evaluate, fetch, pad, train

    stages = {"fetch": fetch, "pad": pad, "train": train, "evaluate": evaluate}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path)
        patch.setenv("MLFLOW_TRACKING_URI", store)  # MLflow sets it; the patch sets it back
        load_keras().utils.clear_session()  # otherwise the names of layers get numbers
        for name in names or stages:
            stages[name].main(paths.Project.here())


def use_store(project: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """Make a project's root the working directory, and its store MLflow's."""
    import mlflow
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()  # where the files of a run are, which a copy has as well
    monkeypatch.chdir(project.path)
    uri = f"sqlite:///{project.path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return project


@pytest.fixture(scope="session")
def clone(shared: MakeProject) -> ProjectCopy:
    """Return a new repository with the project's files and small params. Nothing was run in it."""
    return shared("clone", copy_project_files)


@pytest.fixture(scope="session")
def finished_once(clone: ProjectCopy, shared: MakeProject) -> ProjectCopy:
    """Return a clone after all stages."""
    return shared("finished", run_stages, clone.path)


@pytest.fixture
def finished(finished_once: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """Return a finished project, to be read only, and make it the working directory."""
    return use_store(finished_once, monkeypatch)


@pytest.fixture
def project(
    finished_once: ProjectCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ProjectCopy:
    """Copy a finished project for one test, and make the copy the working directory."""
    return use_store(copy_project(finished_once, tmp_path / "project"), monkeypatch)


@pytest.fixture
def fresh(clone: ProjectCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """Copy a clone for one test, in which nothing was run, and make it the working directory."""
    return use_store(clone.copy(tmp_path / "project"), monkeypatch)


class Command:
    """The command `sentiment`, called in this process and working directory."""

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Call the command, check its exit status, and return what it printed."""
        from sentiment import cli

        done = CliRunner().invoke(cli.main, list(arguments), catch_exceptions=False)
        assert done.exit_code == status, done.output
        return done.output

    def fail(self, *arguments: str) -> str:
        """Call the command, which must fail with one message, and return what it printed."""
        return self(*arguments, status=1)


@pytest.fixture
def sentiment() -> Command:
    """Return the command `sentiment`."""
    return Command()


def runs(experiment: str = MODEL) -> "list[Run]":
    """Return all runs of an experiment in the working directory's store, the newest first."""
    import mlflow

    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def curve(run_id: str, metric: str = "loss") -> list[tuple[int, float]]:
    """Return a metric's points of a run, in the order of the steps."""
    import mlflow

    points = mlflow.MlflowClient().get_metric_history(run_id, metric)
    return sorted((point.step, point.value) for point in points)


def versions(model: str = MODEL) -> "list[ModelVersion]":
    """Return all versions of a registered model, the newest first."""
    import mlflow

    found = mlflow.MlflowClient().search_model_versions(f"name = '{model}'")
    return sorted(found, key=lambda version: -int(version.version))


def champion(model: str = MODEL) -> "ModelVersion":
    """Return the champion."""
    import mlflow

    return mlflow.MlflowClient().get_model_version_by_alias(model, "champion")


def database_rows(project: ProjectCopy) -> list[str]:
    """Return all rows of a project's store, as sorted statements."""
    with closing(sqlite3.connect(project.path / "mlflow.db")) as connection:
        return sorted(line for line in connection.iterdump() if line.startswith("INSERT"))
