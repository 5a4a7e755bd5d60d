"""Projects for the contract's tests: commands, files and MLflow's public client, nothing else.

Real commands take seconds to start, so one project lives through a story that many tests read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import mlflow
import pytest
from filelock import FileLock
from mlflow.entities import Run

from tests.conftest import champion, use_store, versions
from tests.contract import names
from tests.project import Project

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
def finished_story(clone: Project, make_once: Callable[..., Story]) -> Story:
    """Return a project in which the pipeline has run once."""

    def live(story: Story) -> None:
        clone.copy(story.project.path)
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
            use_store(project, patch)
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


@pytest.fixture
def finished(finished_story: Story, monkeypatch: pytest.MonkeyPatch) -> Story:
    """Return the finished project, to be read only, with its folder as the working directory."""
    use_store(finished_story.project, monkeypatch)
    return finished_story


@pytest.fixture
def told(story: Story, monkeypatch: pytest.MonkeyPatch) -> Story:
    """Return the story, to be read only, with its folder as the working directory."""
    use_store(story.project, monkeypatch)
    return story


@pytest.fixture
def project(
    finished_story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """Return a copy of the finished project, with its folder as the working directory."""
    yield use_store(finished_story.project.copy(tmp_path / "project"), monkeypatch)
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "project", ignore_errors=True)


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
    files = {"params.yaml", "dvc.lock", "history.csv", "predictions.csv", "accuracy.png"}
    assert files <= artifacts(run)
    client = mlflow.MlflowClient()
    models = client.search_logged_models([run.info.experiment_id])
    own = [model for model in models if model.source_run_id == run.info.run_id]
    assert len(own) == 2  # the Keras model, and the model of raw texts
    assert {str(model.status) for model in own} == {"READY"}
    assert len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) == 1
