"""Projects for the contract's tests: commands, files and MLflow's public client, nothing else.

Real commands take seconds to start, so one project lives through a story that many tests read.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import mlflow
import pytest
from filelock import FileLock
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from tests.contract import names
from tests.project import ROOT, SMALL, Project

EPOCHS = 2  # of SMALL
TEXT = "The plot was not dull."
UNREACHABLE = "http://127.0.0.1:9"


class Story(NamedTuple):
    """A project after a series of commands.

    Attributes:
        project: the project.
        printed: what each command printed, by its name in the fixture.
        digests: SHA-256 of the model and the metrics after some of the commands, by the same names.
    """

    project: Project
    printed: dict[str, str]
    digests: dict[str, str]


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Story]:
    """Return a function that makes a project once for all processes that run these tests."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def make(name: str, live: Callable[[Story], None]) -> Story:
        folder = root / f"contract-{name}"
        story = Story(Project(folder / "project"), {}, {})
        with FileLock(f"{folder}.lock"):
            if not (folder / "story.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                live(story)
                text = json.dumps([story.printed, story.digests])
                (folder / "story.json").write_text(text, encoding="utf-8")
        printed, digests = json.loads((folder / "story.json").read_bytes())
        return Story(story.project, printed, digests)

    return make


@pytest.fixture(scope="session")
def finished_story(make_once: Callable[..., Story]) -> Story:
    """Return a project in which the pipeline has run once."""

    def live(story: Story) -> None:
        clone(story.project)
        story.printed["repro"] = story.project.run(*names.REPRO)
        story.printed["predict"] = story.project.read(*names.PREDICT, TEXT)
        story.digests["repro"] = digest(story.project)

    return make_once("finished", live)


@pytest.fixture(scope="session")
def story(finished_story: Story, make_once: Callable[..., Story]) -> Story:
    """Return a project in which params were changed, and experiments were run."""

    def live(story: Story) -> None:
        project = story.project
        finished_story.project.copy(project.path)
        story.digests["repro"] = digest(project)

        def run(name: str, *command: str, **environment: str) -> None:
            story.printed[name] = project.run(*command, **environment)
            story.digests[name] = digest(project)

        run("nothing to do", *names.REPRO)
        project.change(train={"units": 5})
        run("store away", "dvc", "repro", MLFLOW_TRACKING_URI=UNREACHABLE)
        run("sync", *names.SYNC)
        run("sync again", *names.SYNC)
        with pytest.MonkeyPatch.context() as patch:
            use(project, patch)
            story.printed["champion before"] = str(champion().version)
            candidate = versions()[0]
        run("promote", *names.PROMOTE, str(candidate.run_id))
        project.change(train={"units": 4})
        run("four units again", *names.REPRO)
        experiment = ("dvc", "exp", "run")
        run("queue", *experiment, "--queue", "--set-param", "train.units=6", "--name", "six")
        run("start", "dvc", "queue", "start")
        run("logs", "dvc", "queue", "logs", "six", "--follow")
        run("apply", "dvc", "exp", "apply", "six")
        run("after apply", *names.REPRO)

    return make_once("story", live)


def digest(project: Project) -> str:
    """Return one digest of the trained model and of the test metrics."""
    contents = (project.path / names.MODEL_FILE).read_bytes()
    contents += (project.path / names.METRICS).read_bytes()
    return hashlib.sha256(contents).hexdigest()


def clone(project: Project) -> None:
    """Copy the files of this project that git has or would have, with small params."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (project.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project.path / name)
    project.change(**SMALL)
    project.run("git", "init", "--quiet")
    project.commit()


@pytest.fixture
def finished(finished_story: Story, monkeypatch: pytest.MonkeyPatch) -> Story:
    """Return the finished project, to be read only, with its folder as the working directory."""
    use(finished_story.project, monkeypatch)
    return finished_story


@pytest.fixture
def told(story: Story, monkeypatch: pytest.MonkeyPatch) -> Story:
    """Return the story, to be read only, with its folder as the working directory."""
    use(story.project, monkeypatch)
    return story


@pytest.fixture
def project(
    finished_story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """Return a copy of the finished project, with its folder as the working directory."""
    copy = finished_story.project.copy(tmp_path / "project")
    use(copy, monkeypatch)
    yield copy
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "project", ignore_errors=True)


def use(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a project's folder the working directory, and its store MLflow's."""
    monkeypatch.chdir(project.path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.path}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/mlflow.db")


def runs() -> list[Run]:
    """Return the trainings' runs in the working directory's store, the newest first."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(names.EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def versions() -> list[ModelVersion]:
    """Return the versions of the registered model, the newest first."""
    found = mlflow.MlflowClient().search_model_versions(f"name = '{names.MODEL}'")
    return sorted(found, key=lambda version: -int(version.version))


def champion() -> ModelVersion:
    """Return the champion."""
    return mlflow.MlflowClient().get_model_version_by_alias(names.MODEL, "champion")


def artifacts(run: Run, path: str = "") -> set[str]:
    """Return the names of all files among a run's artifacts."""
    found: set[str] = set()
    for entry in mlflow.MlflowClient().list_artifacts(run.info.run_id, path):
        found |= artifacts(run, entry.path) if entry.is_dir else {Path(entry.path).name}
    return found


def steps(run: Run, metric: str) -> list[int]:
    """Return the step of each point of a metric."""
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, metric)
    return sorted(point.step for point in points)


def assert_whole(run: Run, epochs: int = EPOCHS) -> None:
    """Check that a run has everything about its training and its evaluation, once."""
    assert run.info.status == "FINISHED"
    for metric in ("accuracy", "loss", "val_accuracy", "val_loss"):
        assert steps(run, metric) == list(range(1, epochs + 1)), metric
    assert 0 <= run.data.metrics["test_accuracy"] <= 1
    assert {"history.csv", "predictions.csv", "accuracy.png"} <= artifacts(run)
    client = mlflow.MlflowClient()
    models = client.search_logged_models([run.info.experiment_id])
    own = [model for model in models if model.source_run_id == run.info.run_id]
    assert len(own) == 2  # the Keras model, and the model of raw texts
    assert {str(model.status) for model in own} == {"READY"}
    assert len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) == 1
