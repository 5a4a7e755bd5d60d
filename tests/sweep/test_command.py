"""Two processes share a sweep, of which one is killed, and the same command is called again."""

import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState

from sentiment.project.params_file import load_params
from sentiment.sweep import search, space, study, values
from sentiment.sweep.trial import TRIAL
from tests.conftest import Command, copy_project, use_store
from tests.small_project import ProjectCopy, wait_until

pytestmark = pytest.mark.slow
TRIALS = 4
COMMAND = (sys.executable, "-m", "sentiment", "sweep", "--trials")


def draw(trial: Any) -> dict[str, Any]:
    """Draw from a space in which the first trial takes minutes, and the others seconds."""
    return {
        "train.units": trial.suggest_categorical("units", [3, 4]),
        "train.learning_rate": trial.suggest_float("learning_rate", 0.001, 0.1, log=True),
        "train.epochs": 1 if trial.number else 1000,
    }


class Swept(NamedTuple):
    """A project after a sweep.

    Attributes:
        project: the project.
        output: what the process that was not killed printed.
        applied: what the last command printed.
    """

    project: ProjectCopy
    output: str
    applied: str


def sweep_runs(folder: Path) -> list[Run]:
    """Return the runs of a sweep in a project, the newest first."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("synthetic-sentiment operations")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def wait_for_epochs(project: ProjectCopy, process: "subprocess.Popen[str]", trial: str) -> None:
    """Wait until the run of a trial has an epoch."""

    def has_epochs() -> bool:
        found = [run for run in sweep_runs(project.path) if run.data.tags.get(TRIAL) == trial]
        return bool(found and found[0].data.metrics)

    wait_until(lambda: process.poll() is not None or has_epochs(), pause=0.2)
    assert process.poll() is None, process.communicate()


@pytest.fixture(scope="module")
def swept_once(finished_once: ProjectCopy, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Sweep by two processes. One is killed in a trial. Then the command is called once more."""
    project = copy_project(finished_once, tmp_path_factory.mktemp("swept") / "project")
    # XLA does not compile this network, which saves each process seconds.
    project.change(train={"cell": "simple_rnn"})
    source = f"from typing import Any\n\n{inspect.getsource(draw)}"
    (project.path / values.SPACE_FILE).write_text(source, encoding="utf-8")

    with project.start(*COMMAND, str(TRIALS)) as killed:
        wait_for_epochs(project, killed, "0")
        with project.start(*COMMAND, str(TRIALS)) as other:
            wait_for_epochs(project, other, "1")
            os.killpg(killed.pid, signal.SIGKILL)
            output, _ = other.communicate(timeout=600)
            assert other.returncode == 0, output
    with pytest.MonkeyPatch.context() as patch:
        use_store(project, patch)
        patch.setattr(space, "draw", draw)
        # No other process runs any more, so a trial without a heartbeat is lost and not only slow.
        patch.setattr(study, "GRACE_SECONDS", 1)
        applied = Command()("sweep", "--trials", str(TRIALS + 1), "--apply")
    return Swept(project, output, applied)


@pytest.fixture
def swept(swept_once: Swept, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """Return the sweep, and make its project the working directory."""
    use_store(swept_once.project, monkeypatch)
    return swept_once


def read_trials() -> list[optuna.trial.FrozenTrial]:
    storage = "sqlite:///sweeps.db"
    return list(optuna.load_study(study_name=None, storage=storage).trials)


@pytest.mark.usefixtures("swept")
def test_as_many_trials_are_done_as_were_asked_for_and_a_lost_one_is_repeated() -> None:
    lost, *done = read_trials()
    assert lost.state == TrialState.FAIL
    assert [trial.state in study.DONE for trial in done] == [True] * (TRIALS + 1)
    assert lost.params in [trial.params for trial in done]


def test_only_the_run_of_the_killed_process_is_left_running(swept: Swept) -> None:
    found = sweep_runs(swept.project.path)
    running = [run.data.tags[TRIAL] for run in found if run.info.status == "RUNNING"]
    assert running == ["0"]
    assert {run.info.status for run in found} <= {"FINISHED", "KILLED", "RUNNING"}
    (parent,) = [run for run in found if TRIAL not in run.data.tags]
    names = {
        artifact.path for artifact in mlflow.artifacts.list_artifacts(run_id=parent.info.run_id)
    }
    assert {search.TABLE, "space.py", "params.yaml"} <= names


def test_best_trial_is_shown_and_written_into_params(swept: Swept) -> None:
    completed = [trial for trial in read_trials() if trial.state == TrialState.COMPLETE]
    best = max(completed, key=lambda trial: trial.value)
    assert load_params(Path("params.yaml")).train.units == best.params["units"]
    assert (
        f"train.learning_rate: 0.001 -> {load_params(Path('params.yaml')).train.learning_rate}"
        in swept.applied
    )
    assert f"val_accuracy {best.value:.4f}" in " ".join(swept.applied.split())
    assert "Traceback" not in swept.output + swept.applied


@pytest.mark.usefixtures("finished")
def test_signal_is_one_message_that_says_how_to_continue(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "search", interrupt)
    message = sentiment.fail("sweep", "--trials", "1", "--storage", f"sqlite:///{tmp_path}/some.db")
    assert "The sweep was interrupted. Run the same command again to continue it." in message


def test_reviews_of_other_params_are_refused(project: ProjectCopy, sentiment: Command) -> None:
    project.change(fetch={"synthetic": {"seed": 1}})
    message = sentiment.fail("sweep")
    assert "data/fetch has other reviews than params.yaml. Run `dvc repro fetch`." in message
