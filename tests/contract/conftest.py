"""Projects for the contract's tests, which know commands, files and MLflow's public client.

Real commands take seconds to start, so one project lives through a story that many tests read.
"""

import hashlib
import json
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from tests.conftest import MakeProject, use_store
from tests.contract import names
from tests.small_project import ProjectCopy

EPOCHS = 2  # of SMALL
HEAD_LAYER = "name=HEAD"  # an argument of the model's last layer
PASSWORD = "secret-password"
UNREACHABLE = f"http://user:{PASSWORD}@127.0.0.1:9"


class Commands:
    """A project, and the commands that were run in it.

    Attributes:
        project: the project.
        printed: what each command printed, by its name in the fixture.
        digests: digest of the model and the metrics after each command, by the same names.
    """

    def __init__(self, project: ProjectCopy) -> None:
        self.project = project
        self.printed: dict[str, str] = {}
        self.digests: dict[str, str] = {}

    def run(self, name: str, *command: str, **environment: str) -> None:
        """Run a command that must succeed."""
        self.printed[name] = self.project.run(*command, **environment)
        contents = (self.project.path / names.MODEL_FILE).read_bytes()
        contents += (self.project.path / names.METRICS).read_bytes()
        self.digests[name] = hashlib.sha256(contents).hexdigest()

    def write(self) -> None:
        """Write what was printed beside the project, for the other processes that run tests."""
        text = json.dumps([self.printed, self.digests])
        self.project.path.with_name("commands.json").write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, project: ProjectCopy) -> "Commands":
        """Read what `write` has written. A copy of a project begins without commands."""
        commands = cls(project)
        path = project.path.with_name("commands.json")
        if path.exists():
            commands.printed, commands.digests = json.loads(path.read_bytes())
        return commands


@pytest.fixture(scope="session")
def pipeline_once(clone: ProjectCopy, shared: MakeProject) -> Commands:
    """Return a project in which the pipeline has run once. Its user has set Keras to PyTorch."""

    def run(project: ProjectCopy) -> None:
        commands = Commands(project)
        commands.run("repro", *names.REPRO, KERAS_BACKEND="torch")
        commands.write()

    return Commands.read(shared("pipeline", run, clone.path))


@pytest.fixture(scope="session")
def experiments_once(pipeline_once: Commands, shared: MakeProject) -> Commands:
    """Return a project in which params were changed, and an experiment ran in a copy.

    The experiment has other params and other code, and both were changed back afterwards.
    """

    def run(project: ProjectCopy) -> None:
        commands = Commands.read(project)
        project.change(train={"units": 5})
        commands.printed["store away"] = project.fail(*names.REPRO, MLFLOW_TRACKING_URI=UNREACHABLE)
        commands.run("five units", *names.REPRO)
        project.change(train={"units": 4})
        commands.run("four units again", *names.REPRO)
        model = project.path / "sentiment" / "model" / "build.py"
        code = model.read_text(encoding="utf-8")
        changed = code.replace(HEAD_LAYER, f'{HEAD_LAYER}, kernel_initializer="he_normal"')
        assert changed != code
        model.write_text(changed, encoding="utf-8")
        experiment = ("dvc", "exp", "run", "--temp", "-S", "train.units=6", "--name", "six")
        commands.run("experiment", *experiment)
        commands.run("apply", "dvc", "exp", "apply", "six")
        commands.run("after apply", *names.REPRO)
        project.run("git", "checkout", "--", "sentiment", "params.yaml")
        commands.write()

    return Commands.read(shared("experiments", run, pipeline_once.project.path))


@pytest.fixture
def pipeline(pipeline_once: Commands, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Return the project of `pipeline_once`, to be read only, as the working directory."""
    use_store(pipeline_once.project, monkeypatch)
    return pipeline_once


@pytest.fixture
def experiments(experiments_once: Commands, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Return the project of `experiments_once`, to be read only, as the working directory."""
    use_store(experiments_once.project, monkeypatch)
    return experiments_once


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
    files = {"params.yaml", "dvc.lock", "history.csv", "predictions.csv", "accuracy.png", "roc.csv"}
    assert files <= artifacts(run)
    client = mlflow.MlflowClient()
    models = client.search_logged_models([run.info.experiment_id])
    own = [model for model in models if model.source_run_id == run.info.run_id]
    assert [(model.name, str(model.status)) for model in own] == [("sentiment", "READY")]
    assert len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) == 0
