"""Fixtures that several test modules use, and the rule that CI skips nothing.

Most tests use a small project that the stages made in the tests' process, because a real command
imports TensorFlow and MLflow first, which takes seconds. `pipeline_once` is made by real commands.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock

from sentiment.libraries import quiet_libraries
from sentiment.project.files.paths import Project
from sentiment.tracking import address, experiments, runs, store
from tests import names
from tests.command import Command
from tests.command_log import CommandLog
from tests.small_project import (
    ROOT,
    MakeProject,
    ProjectCopy,
    enter,
    make_repository,
    run_stages,
)
from tests.stores import move_store

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
    address.try_only_once()
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
    """Return a folder with the params and the table of the project."""
    for name in ("params.yaml", "data/example.csv"):
        (in_tmp_path / name).parent.mkdir(exist_ok=True)
        (in_tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return in_tmp_path


@pytest.fixture(scope="session")
def empty_store_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose store has the experiments of two datasets. To make one takes seconds.

    The paths of their artifacts are relative, so they are in the working directory.
    """
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        project = Project.here()
        client = store.connect(project)
        for dataset in ("imdb", "synthetic"):
            runs.open_trainings(project, client, dataset)
    move_store(folder / address.DATABASE, f"{folder}/", "")
    return folder


@pytest.fixture
def empty_store(in_tmp_path: Path, empty_store_once: Path) -> "MlflowClient":
    """Make a folder with a store without runs the working directory, and return its client."""
    database = shutil.copy2(empty_store_once / address.DATABASE, in_tmp_path)
    move_store(Path(database), experiments.ARTIFACTS, f"{in_tmp_path}/{experiments.ARTIFACTS}")
    return store.connect(Project.here())


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
                    ProjectCopy(of).copy(folder / "project")
                make(ProjectCopy(folder / "project"))
                (folder / "made").touch()
        return ProjectCopy(folder / "project")

    return shared_project


@pytest.fixture(scope="session")
def clone(shared: MakeProject) -> ProjectCopy:
    """Return a new repository with the project's files and small params. Nothing was run in it."""
    return shared("clone", make_repository)


@pytest.fixture(scope="session")
def finished_once(clone: ProjectCopy, shared: MakeProject, empty_store_once: Path) -> ProjectCopy:
    """Return a clone after all stages, which were called in this process."""

    def finish(project: ProjectCopy) -> None:
        shutil.copy2(empty_store_once / address.DATABASE, project.path)
        run_stages(project)

    return shared("finished", finish, clone.path)


@pytest.fixture(scope="session")
def pipeline_once(clone: ProjectCopy, shared: MakeProject) -> CommandLog:
    """Return a project in which `dvc repro` has run once. Its user has set Keras to PyTorch."""

    def run(project: ProjectCopy) -> None:
        log = CommandLog(project)
        log.run("repro", *names.REPRO, KERAS_BACKEND="torch")
        log.write()

    return CommandLog.read(shared("pipeline", run, clone.path))


@pytest.fixture
def finished(finished_once: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """Return a finished project, to be read only, and make it the working directory."""
    return enter(finished_once, monkeypatch)


@pytest.fixture
def project(
    finished_once: ProjectCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ProjectCopy:
    """Copy a finished project for one test, and make the copy the working directory."""
    return enter(finished_once.copy(tmp_path / "project"), monkeypatch)


@pytest.fixture
def fresh(
    clone: ProjectCopy, empty_store_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ProjectCopy:
    """Copy a clone for one test, in which nothing was run, and make it the working directory."""
    copy = clone.copy(tmp_path / "project")
    shutil.copy2(empty_store_once / address.DATABASE, copy.path)
    return enter(copy, monkeypatch)


@pytest.fixture
def sentiment() -> Command:
    """Return the command `sentiment`."""
    return Command()
