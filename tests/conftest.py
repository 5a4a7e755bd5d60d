"""Fixtures that several test modules use, and the rule that CI skips nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import click
import mlflow
import numpy as np
import pytest
from filelock import FileLock
from mlflow.entities import Run
from ruamel.yaml import YAML
from selenium import webdriver

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.network.inputs import Inputs
from stages import evaluate, fetch, pad, train
from tests.browser import chromium
from tests.own_texts import NAME, use_table, write_texts
from tests.project import DEFAULT_PARAMS, EPOCHS, ROOT, SMALL, Project, change_params, merge_changes
from workflow import store
from workflow.commands import TERMINATION_SIGNALS
from workflow.params import Params, validate_params
from workflow.terminal import user_message

SMALL_IMDB: dict[str, Any] = {
    "fetch": {"dataset": "imdb"},
    "pad": {"num_words": 10_000, "max_length": 80},
    "train": {"embedding_units": 8, "units": 8, "epochs": 1, "batch_size": 256},
    "evaluate": {"length_buckets": [40, 80], "threshold": 0.6},
}


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


@pytest.fixture(scope="session")
def backend() -> None:
    """Load TensorFlow as the stages do."""
    load_keras()


def defaults() -> dict[str, Any]:
    """Return the default params as a mapping."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(DEFAULT_PARAMS)
    return document


def inputs(num_words: int, length: int) -> Inputs:
    """Return the inputs of a small model, with five batches an epoch."""
    return Inputs(num_words, length, steps_per_epoch=5)


@pytest.fixture
def default_params() -> Params:
    """Return the default params."""
    return validate_params(defaults(), "params.yaml")


@pytest.fixture
def small_params() -> Params:
    """Return params with which every stage takes seconds."""
    return validate_params(merge_changes(defaults(), SMALL), "params.yaml")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the working directory, and return it."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def root(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder without a store the working directory. MLflow forgets it afterwards."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; monkeypatch sets it back
    return in_tmp_path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database without runs, to be copied: creating one takes a second."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        store.connect()
    return folder / store.DATABASE


@pytest.fixture
def root_with_store(root: Path, empty_store: Path) -> Iterator[Path]:
    """Make a folder with a store without runs the working directory. End its runs afterwards."""
    shutil.copy2(empty_store, root)
    yield root
    while mlflow.active_run():
        mlflow.end_run()


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a project's root the working directory: artifact locations are relative to it."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")


def own_copy(project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Copy a project into a folder, and make the copy the working directory."""
    copied = project.copy(folder / "project")
    stand_in(copied.path, monkeypatch)
    return copied


def runs() -> list[Run]:
    """Return all runs of the store in the working directory, the newest first."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("imdb-lstm")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def curve(run_id: str, metric: str = "loss", store: str | None = None) -> list[tuple[int, float]]:
    """Return a metric's points of a run in this or another store, in the order of the epochs."""
    points = mlflow.MlflowClient(store).get_metric_history(run_id, metric)
    return sorted((point.step, point.value) for point in points)


def epochs(run_id: str, metric: str = "loss", store: str | None = None) -> list[int]:
    """Return the epoch of each point of a curve."""
    return [epoch for epoch, _ in curve(run_id, metric, store)]


@pytest.fixture(scope="session")
def imdb_cache() -> Path:
    """Return Keras' dataset cache with the real files of IMDB. Without them, skip the test."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    for name in ("imdb.npz", "imdb_word_index.json"):
        if not (home / "datasets" / name).is_file():
            pytest.skip(f"{name} is not in {home / 'datasets'}; `make repro` downloads it")
    return home / "datasets"


def run_stages(project: Project, **environment: str) -> str:
    """Run the pipeline in this process, let DVC commit its outputs, and return what it printed.

    `dvc repro` gives the same files, but each of its stages imports TensorFlow and MLflow.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path)
        patch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; the patch sets it back
        call = Caller(patch)
        load_keras().utils.clear_session()  # otherwise the names of layers get numbers
        printed = [call(stage.main, **environment) for stage in (fetch, pad, train, evaluate)]
    project.run("dvc", "commit", "--force", "dvc.yaml")
    return "".join(printed)


Sharer = Callable[..., Project]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Sharer:
    """Create a project once for all processes that run these tests. Tests must not change it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def shared_project(
        name: str, make: Callable[[Project], None], of: Path | None = None
    ) -> Project:
        folder = root / f"shared-{name}"
        with FileLock(root / f"shared-{name}.lock"):
            if not (folder / "made").exists():
                shutil.rmtree(folder, ignore_errors=True)
                if of:
                    shutil.copytree(of, folder / "project", symlinks=True)
                make(Project(folder / "project"))
                (folder / "made").touch()
        return Project(folder / "project")

    return shared_project


def copy_files(project: Project) -> None:
    """Copy the project's files into a fresh repository, with small params."""
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


@pytest.fixture(scope="session")
def clone(shared: Sharer) -> Project:
    """Return a new repository with the project's files and small params. Nothing was run in it."""
    return shared("clone", copy_files)


@pytest.fixture(scope="session")
def finished(clone: Project, shared: Sharer) -> Project:
    """Return a clone after all stages, committed."""

    def finish(project: Project) -> None:
        output = run_stages(project)
        assert "Test Accuracy: 0." in output
        project.commit()

    return shared("finished", finish, clone.path)


@pytest.fixture(scope="session")
def undisturbed(finished: Project, shared: Sharer) -> Path:
    """Return `data/` of a training of `EPOCHS` epochs that was not interrupted."""

    def train_longer(project: Project) -> None:
        project.change(train={"epochs": EPOCHS})
        run_stages(project)

    return shared("undisturbed", train_longer, finished.path).path / "data"


@pytest.fixture(scope="session")
def two_runs(finished: Project, shared: Sharer) -> Project:
    """Return a finished project with a second run, the experiment `six` in its working tree.

    The output of the command is in the file `output` next to it.
    """

    def run_again(project: Project) -> None:
        project.change(train={"units": 6, "epochs": 3})
        output = project.run("dvc", "exp", "run", "--name", "six")
        project.path.with_name("output").write_text(output, encoding="utf-8")

    return shared("two-runs", run_again, finished.path)


@pytest.fixture(scope="session")
def imdb_project(clone: Project, imdb_cache: Path, shared: Sharer) -> Project:
    """Return a project with a small model that was trained on IMDB and is champion by the rule."""

    def train_on_imdb(project: Project) -> None:
        project.change(**SMALL_IMDB)
        output = run_stages(project, KERAS_HOME=str(imdb_cache.parent))
        assert "Version 1 of imdb-sentiment is now the champion: there was none before" in output

    return shared("imdb", train_on_imdb, clone.path)


@pytest.fixture(scope="session")
def own_texts(clone: Project, shared: Sharer) -> Project:
    """Return a project that was trained on a table of texts without logging them."""

    def train_on_table(project: Project) -> None:
        write_texts(project.path / NAME, seed=0)
        use_table(project, NAME)
        project.change(evaluate={"log_texts": False})
        run_stages(project)
        project.commit()

    return shared("own-texts", train_on_table, clone.path)


@pytest.fixture
def fresh(clone: Project, tmp_path: Path) -> Project:
    """Return a clone for one test, in which nothing was run."""
    return clone.copy(tmp_path / "project")


@pytest.fixture
def project(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Copy a finished project for one test, and make the copy the working directory."""
    return own_copy(finished, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as chrome:
        yield chrome


Main = Callable[[], int | None] | click.Command


class Caller:
    """A caller of the `main` of commands and stages, in this process and working directory.

    A process of its own would import TensorFlow and MLflow first, which takes seconds.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, main: Main, *arguments: str, **environment: str) -> str:
        """Call a `main` that must succeed and return what it printed, on either stream."""
        self.monkeypatch.setattr(sys, "argv", ["command", *arguments])
        for name, value in environment.items():
            self.monkeypatch.setenv(name, value)
        handlers = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
        try:
            with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
                if isinstance(main, click.Command):
                    assert not main.main(standalone_mode=False)
                else:
                    assert not main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return f"{errors.getvalue()}{output.getvalue()}"

    def json(self, main: Main, *arguments: str, **environment: str) -> Any:
        """Call a `main` that must succeed and return the JSON that it printed last."""
        return json.loads(self(main, "--json", *arguments, **environment).splitlines()[-1])

    def fail(self, main: Main, *arguments: str, **environment: str) -> str:
        """Call a `main` that must fail with one message, and return that."""
        with pytest.raises((UserError, OSError, click.UsageError)) as raised:
            self(main, *arguments, **environment)
        if isinstance(raised.value, click.UsageError):
            return raised.value.format_message()
        message = user_message(raised.value, "`the command`")
        assert message is not None
        return message


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Call commands in this process."""
    return Caller(monkeypatch)


Starter = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Starter]:
    """Start commands of a project, and terminate them after the test."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(project: Project, *command: str, **environment: str) -> "subprocess.Popen[str]":
        processes.append(project.start(*command, **environment))
        return processes[-1]

    yield start_one
    for process in processes:
        process.terminate()
        process.communicate(timeout=300)
