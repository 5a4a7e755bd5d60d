"""A sweep with a worker that is killed, which is interrupted, and which is called again."""

import os
import signal
import subprocess
import sys
from typing import Any, NamedTuple

import mlflow
import optuna
import psutil
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState
from ruamel.yaml import YAML

from extras.sweep import study
from extras.sweep.space import CONFIG_FILE
from extras.sweep.trial import STUDY
from tests.conftest import Command, use_store
from tests.project import Project, wait_until
from workflow.params_file import load_params

pytestmark = pytest.mark.slow
TRIALS = 5
COMMAND = (sys.executable, "-m", "cli", "sweep", "--trials", str(TRIALS), "--workers", "2")
CONFIG: dict[str, Any] = {
    "best": 2,
    "seeds": 2,
    "space": {
        "train.units": {"choices": [3, 4]},
        "train.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "pad.max_length": {"low": 30, "high": 40, "step": 10},
    },
}


class Swept(NamedTuple):
    """A project after a sweep.

    Attributes:
        project: the project.
        interrupted: what the command printed that Ctrl-C interrupted.
        left_running: the processes that this command left.
        output: what the last command printed.
    """

    project: Project
    interrupted: str
    left_running: list[psutil.Process]
    output: str


def children(project: Project) -> list[Run]:
    """Return the child runs of a sweep in a project, the newest first."""
    client = mlflow.MlflowClient(f"sqlite:///{project.path}/mlflow.db")
    experiment = client.get_experiment_by_name("synthetic-sentiment operations")
    which = f"tags.`{STUDY}` LIKE 'sweep-%'"
    return list(client.search_runs([experiment.experiment_id], which)) if experiment else []


def is_training(project: Project, command: "subprocess.Popen[str]", trained: int) -> bool:
    """Return whether a trial is running and as many runs exist, or the command has ended."""
    found = children(project)
    is_running = any(run.info.status == "RUNNING" for run in found)
    return command.poll() is not None or (is_running and len(found) > trained)


@pytest.fixture(scope="module")
def swept_once(finished_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Sweep with two workers. One is killed, then Ctrl-C comes, and the command is repeated."""
    project = finished_once.copy(tmp_path_factory.mktemp("swept") / "project")
    # XLA does not compile this network, which saves each process seconds.
    project.change(train={"cell": "simple_rnn", "epochs": 20})
    YAML().dump(CONFIG, project.path / CONFIG_FILE)

    command = project.start(*COMMAND)
    wait_until(lambda: is_training(project, command, 0), pause=0.2)
    for process in psutil.Process(command.pid).children():
        if "spawn_main" in " ".join(process.cmdline()):
            process.kill()
            break
    wait_until(lambda: is_training(project, command, 2), pause=0.2)
    processes = psutil.Process(command.pid).children()
    os.killpg(command.pid, signal.SIGINT)
    interrupted, _ = command.communicate(timeout=300)
    _, left_running = psutil.wait_procs(processes, timeout=60)
    output = project.run(*COMMAND, "--apply")
    return Swept(project, interrupted, left_running, output)


@pytest.fixture
def swept(swept_once: Swept, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """Return the sweep, and make its project the working directory."""
    use_store(swept_once.project, monkeypatch)
    return swept_once


@pytest.fixture
def studies(swept: Swept) -> list[optuna.Study]:
    """Return the study that searched, and the one that confirmed."""
    storage = study.open_storage(f"sqlite:///{swept.project.path}/sweeps.db")
    names = sorted(found.study_name for found in optuna.get_all_study_summaries(storage))
    return [optuna.load_study(study_name=name, storage=storage) for name in names]


def test_no_trial_is_lost_and_at_most_one_is_surplus(studies: list[optuna.Study]) -> None:
    searched, confirmed = studies
    assert TRIALS <= study.count_trials(searched, *study.DONE) <= TRIALS + 1
    best = study.best_trials(searched, CONFIG["best"])
    assert study.count_trials(confirmed, TrialState.COMPLETE) == len(best) * CONFIG["seeds"]
    for each in studies:
        lost = [trial for trial in each.trials if trial.state == TrialState.FAIL]
        kept = [trial.params for trial in each.trials if trial.state != TrialState.FAIL]
        assert all(trial.params in kept for trial in lost)
        assert TrialState.RUNNING not in [trial.state for trial in each.trials]


def test_no_run_is_left_running(swept: Swept, studies: list[optuna.Study]) -> None:
    statuses = [run.info.status for run in children(swept.project)]
    completed = sum(study.count_trials(each, TrialState.COMPLETE) for each in studies)
    assert set(statuses) <= {"FINISHED", "KILLED"}
    assert statuses.count("FINISHED") >= completed


def test_parent_run_has_the_table_and_the_plots(swept: Swept) -> None:
    client = mlflow.MlflowClient()
    parents = {run.data.tags["mlflow.parentRunId"] for run in children(swept.project)}
    (parent,) = map(client.get_run, parents)
    assert parent.info.status == "FINISHED"
    names = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"table.txt", "sweep.yaml", "params.yaml"} <= names
    table = mlflow.artifacts.load_text(f"{parent.info.artifact_uri}/table.txt")
    assert table.strip() in swept.output


def test_winner_is_written_into_params(swept: Swept, studies: list[optuna.Study]) -> None:
    params = load_params()
    assert f"train.learning_rate: 0.001 -> {params.train.learning_rate}" in swept.output
    assert (params.train.units, params.pad.max_length) in [
        (trial.params["train.units"], trial.params["pad.max_length"])
        for trial in study.best_trials(studies[0], 2)
    ]


def test_ctrl_c_is_one_message_that_says_how_to_continue(swept: Swept) -> None:
    message = "The sweep was interrupted. Run the same command again to continue it."
    assert swept.interrupted.count(message) == 1
    assert "Traceback" not in swept.interrupted + swept.output
    assert swept.left_running == []


def test_command_that_is_called_again_trains_nothing(swept: Swept, sentiment: Command) -> None:
    before = len(children(swept.project))
    assert sentiment("sweep", "--trials", "2").splitlines()[-2] in swept.output
    assert len(children(swept.project)) == before


def test_reviews_of_other_params_are_refused(project: Project, sentiment: Command) -> None:
    project.change(fetch={"synthetic": {"seed": 1}})
    message = sentiment.fail("sweep")
    assert "data/fetch has other reviews than params.yaml. Run `dvc repro fetch`." in message
