"""`make sweep`: trials as runs, nothing lost, the best written back and reproduced."""

import json
import signal
from pathlib import Path
from typing import Any

import mlflow
import optuna
import psutil
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState

from extras.sweep import __main__ as sweep
from extras.sweep import space, study
from stages import pad, train
from tests.conftest import Caller, curve, epochs, own_copy, runs
from tests.extras.conftest import in_this_process
from tests.project import Project, until

pytestmark = pytest.mark.slow
LONG_EPOCHS = 60  # enough to be interrupted in the middle
LONG = {"train": {"epochs": LONG_EPOCHS}, "sweep": {"pruner": "none"}}


@pytest.fixture
def project(swept: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `swept` of one's own, which is the working directory."""
    return own_copy(swept, tmp_path, monkeypatch)


def states(project: Project) -> set[str]:
    """Return the keys of all checkpoints."""
    return {path.parent.name for path in project.path.glob(".checkpoints/*/state.npz")}


def parent() -> Run:
    """The sweep's own run."""
    (run,) = (run for run in runs() if "sweep.key" in run.data.tags)
    return run


def children() -> list[Run]:
    """The runs of its trials, the first one first."""
    of_sweep = parent().info.run_id
    return [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == of_sweep][::-1]


def trials(name: str = "") -> list[optuna.trial.FrozenTrial]:
    """The trials of the one sweep here, or those of its confirmation."""
    key = parent().data.tags["sweep.key"]
    searched = optuna.load_study(study_name=f"sweep-{key}{name}", storage="sqlite:///sweeps.db")
    return study.slots(searched)


def winner_of(printed: str) -> dict[str, Any]:
    """The only candidate of the JSON that a command printed last."""
    (winner,) = json.loads(printed.splitlines()[-1])["candidates"]
    return dict(winner)


def test_each_trial_is_a_run_of_its_params_and_curve_without_model_and_test_set(
    project: Project, finished: Project
) -> None:
    assert len(children()) == 2 + 2
    for run, trial in zip(children()[:2], trials(), strict=True):
        assert run.info.run_id == trial.user_attrs["run"]
        for name, value in space.tidy(trial.params).items():
            assert run.data.params[name] == str(value)
        pruned = trial.state == TrialState.PRUNED
        assert run.info.status == ("KILLED" if pruned else "FINISHED")
        assert ("sweep.pruned" in run.data.tags) == pruned
        assert epochs(run.info.run_id) == ([1] if pruned else [1, 2])
        if not pruned:
            assert run.data.metrics["val_accuracy"] == trial.value
    for run in children():
        assert not [name for name in run.data.metrics if name.startswith("test")]
        assert not mlflow.MlflowClient().list_artifacts(run.info.run_id)
        assert not (run.outputs and run.outputs.model_outputs)
    logged = mlflow.MlflowClient().list_artifacts(parent().info.run_id)
    assert [file.path for file in logged] == ["report.html"]
    assert project.contents("data") == finished.contents("data")
    assert project.read("git", "status", "--porcelain") == ""  # neither params.yaml nor a lock
    assert states(project) == states(finished)  # those of trials are removed


@pytest.mark.usefixtures("project")
def test_the_confirmed_winner_in_params_yaml_gives_its_curve_again_to_the_same_bits(
    call: Caller,
) -> None:
    winner = winner_of(call(sweep.main, "--apply", "--json"))
    again = trials("-confirmed")
    assert [trial.user_attrs["values"]["train.seed"] for trial in again] == [43, 44]
    assert winner["confirmed"] == [trial.value for trial in again]
    complete = [trial.value for trial in trials() if trial.state == TrialState.COMPLETE]
    assert winner["found"] == max(complete)
    trial = children()[winner["trial"]].info.run_id
    for stage in (pad, train):
        call(stage.main)
    newest = runs()[0].info.run_id
    for metric in ("loss", "val_loss", "val_accuracy"):
        assert curve(trial, metric) == curve(newest, metric)
    before = len(runs())
    call(sweep.main, "--trials", "2")  # with the winner's values it is still the same sweep
    assert len(runs()) == before


def test_ctrl_c_ends_every_process_and_costs_no_epoch(project: Project) -> None:
    project.change(**LONG)
    command = ("python", "-m", "extras.sweep", "--trials", "1", "--workers", "1")
    before = states(project)
    process = project.start(*command)
    until(lambda: states(project) != before or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGINT
    assert "interrupted" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []
    output = project.run(*command)
    assert "Resuming after epoch" in output
    assert "1 of 1" in output
    assert "oneDNN" not in output  # nor anything else that TensorFlow prints as it starts
    assert len([run for run in runs() if "sweep.key" in run.data.tags]) == 2
    mine = [run for run in runs() if run.data.params.get("train.epochs") == str(LONG_EPOCHS)]
    assert len(mine) == 1 + 2
    for run in mine:
        assert run.info.status == "FINISHED"
        assert epochs(run.info.run_id) == [*range(1, LONG_EPOCHS + 1)]


def test_no_servers_other_reviews_and_an_unfinished_sweep_are_one_message(
    project: Project, call: Caller
) -> None:
    """Of two trials, one that was confirmed may be the worse one."""
    message = call.fail(sweep.main, "--scheduler", "tcp://127.0.0.1:1")
    assert "reach neither mlflow.db nor sweeps.db in this folder" in message
    project.change(sweep={"seed": 1})
    assert "no finished sweep" in call.fail(sweep.main, "--apply")
    project.change(fetch={"synthetic": {"seed": 5}})
    assert "data/fetch has other reviews" in call.fail(sweep.main)


def test_a_sweep_whose_first_five_trials_fail_is_stopped_with_the_first_error(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extras.common.cluster.local", in_this_process)
    space = {"train.forget_bias": {"choices": [2.0, 3.0]}}
    project.change(train={"cell": "gru"}, sweep={"space": space})
    message = call.fail(sweep.main, "--trials", "30", "--workers", "1")
    assert message.startswith("The first 5 trials all failed. The first one: ")
    assert "train.forget_bias" in message
