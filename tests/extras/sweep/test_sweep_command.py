"""`make sweep`: trials as runs, exactly as many as asked for, the best one written back."""

import json
import os
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import mlflow
import optuna
import psutil
import pytest
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from extras.common.threads import THREADS
from extras.sweep import __main__ as sweep
from extras.sweep import study
from extras.sweep.confirmed_trials import SEED
from stages import pad, train
from tests.conftest import Caller, Starter, curve, epochs, own_copy, runs
from tests.extras.sweep.conftest import change_config
from tests.project import Project, wait_until
from tests.services import kill, mlflow_server, postgres

pytestmark = pytest.mark.slow
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
EPOCHS = 20  # of trials that are to be interrupted in the middle
COMMAND = ("python", "-m", "extras.sweep")


def states(project: Project) -> set[str]:
    """Return the keys of all checkpoints."""
    return {path.parent.name for path in project.path.glob(".checkpoints/*/state.npz")}


def written(project: Project) -> set[tuple[str, int]]:
    """Return the key of each checkpoint and when it was written, in nanoseconds."""
    found = set()
    for path in project.path.glob(".checkpoints/*/state.npz"):
        with suppress(FileNotFoundError):  # the trial has ended meanwhile
            found.add((path.parent.name, path.stat().st_mtime_ns))
    return found


def parent(store: str | None = None) -> Run:
    """Return the parent run of the only sweep in a store, by default in the test's own."""
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs(["1"], "tags.`sweep.key` LIKE '%'")
    return run


def children(store: str | None = None) -> list[Run]:
    """Return the child runs of this sweep, the oldest first."""
    which = f"tags.`mlflow.parentRunId` = '{parent(store).info.run_id}'"
    return list(mlflow.MlflowClient(store).search_runs(["1"], which))[::-1]


def trials(ending: str = "", key: str | None = None, url: str = "") -> list[FrozenTrial]:
    """Return the trials that count of a sweep, or the trials of its confirmation."""
    name = f"sweep-{key or parent().data.tags['sweep.key']}{ending}"
    url = url or "sqlite:///sweeps.db"
    return study.counted_trials(optuna.load_study(study_name=name, storage=url))


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the processes that train the trials of a command."""
    workers = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it was killed
            if "spawn_main" in " ".join(child.cmdline()):
                workers.append(child)
    return workers


def test_each_trial_is_a_run_of_its_params_and_curve_without_model_and_test_set(
    project: Project, finished: Project
) -> None:
    assert len(children()) == 2 + 2
    for run, trial in zip(children()[:2], trials(), strict=True):
        for name, value in study.values_of(trial).items():
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
    assert project.contents("data") == finished.contents("data")
    assert project.read("git", "status", "--porcelain") == ""  # neither params.yaml nor a lock
    assert states(project) == states(finished)  # a trial's is removed


@pytest.mark.usefixtures("project")
def test_table_is_in_the_parent_run() -> None:
    table = mlflow.artifacts.load_text(f"{parent().info.artifact_uri}/table.txt")
    assert table.startswith("The best by val_accuracy, and means with further seeds")


@pytest.mark.usefixtures("project")
def test_applied_winner_gives_its_curve_again_to_the_same_bits_and_is_still_the_same_sweep(
    call: Caller,
) -> None:
    document = json.loads(call(sweep.main, "--apply", "--json").splitlines()[-1])
    (winner,) = document["confirmed"]
    again = trials("-confirmed")
    assert [trial.user_attrs["values"][SEED] for trial in again] == [43, 44]
    assert winner["seed_values"] == [trial.value for trial in again]
    complete = [trial.value for trial in trials() if trial.state == TrialState.COMPLETE]
    assert winner["search_value"] == max(complete)
    require_curve_of_stage(call, children()[winner["trial"]])
    before = len(runs())
    call(sweep.main, "--trials", "2")
    assert len(runs()) == before


def require_curve_of_stage(call: Caller, trial: Run) -> None:
    """Check that the stages with the params in `params.yaml` have the curve of a trial."""
    for stage in (pad, train):
        call(stage.main)
    newest = runs()[0].info.run_id
    for metric in METRICS:
        assert curve(trial.info.run_id, metric) == curve(newest, metric)


def wait_for_epoch(project: Project, process: "subprocess.Popen[str]") -> None:
    """Wait until a trial has written a checkpoint, be it a new trial or a resumed one."""
    before = written(project)
    wait_until(lambda: written(project) - before or process.poll() is not None)
    assert process.poll() is None, process.communicate()


def test_interrupted_sweep_has_exactly_the_trials_that_were_asked_for_with_each_epoch_once(
    finished: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: Starter,
    call: Caller,
) -> None:
    """Send SIGKILL to a worker and then to the command, and Ctrl-C to everything.

    The trials have a linear component, which a resumed trial restores and does not train.
    """
    project = own_copy(finished, tmp_path, monkeypatch)
    project.change(train={"epochs": EPOCHS, "linear": {"share": 0.5}})
    change_config(
        project,
        pruner="none",
        sampler="random",
        space={"train.learning_rate": {"choices": [0.001, 0.002, 0.003, 0.004]}},
        confirm={"top": 1, "seeds": 2},
    )
    project.environment[THREADS] = "1"  # a trial of two workers is resumed by a single one
    command = (*COMMAND, "--trials", "4", "--workers")
    before = states(project)

    process = start(project, *command, "2")
    wait_for_epoch(project, process)
    workers_of(process)[0].kill()
    wait_for_epoch(project, process)
    orphans = workers_of(process)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(orphans, timeout=300)
    assert alive == []

    process = start(project, *command, "1")
    wait_for_epoch(project, process)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGINT
    assert output.count("interrupted") == 1
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(started, timeout=300)
    assert alive == []

    output = project.run(*COMMAND, "--workers", "1")  # as many trials as before
    assert "4 of 4" in output
    assert "Resuming after epoch" in output
    assert "Traceback" not in output
    assert "oneDNN" not in output  # nor anything else that TensorFlow prints as it starts
    assert [trial.state for trial in trials()] == [TrialState.COMPLETE] * 4
    assert [trial.state for trial in trials("-confirmed")] == [TrialState.COMPLETE] * 2
    assert len({study.first_number(trial) for trial in trials()}) == 4
    assert [run.info.status for run in children()] == ["FINISHED"] * 6
    for run in children():
        assert epochs(run.info.run_id) == [*range(1, EPOCHS + 1)]
    logged = mlflow.MlflowClient().list_artifacts(parent().info.run_id)
    names = ["history.png", "importances.png", "table.txt", "values.png"]
    assert sorted(file.path for file in logged) == names
    assert states(project) <= before

    document = json.loads(call(sweep.main, "--apply", "--json").splitlines()[-1])
    (winner,) = document["confirmed"]
    found = [run for run in children() if run.info.run_name.endswith(f"trial {winner['trial']}")]
    require_curve_of_stage(call, found[0])


def test_commands_in_two_clones_share_one_sweep_and_one_of_them_may_be_killed(
    swept: Project, tmp_path: Path, start: Starter
) -> None:
    with ExitStack() as servers:
        (tmp_path / "server").mkdir()
        environment = {
            "MLFLOW_TRACKING_URI": servers.enter_context(mlflow_server(tmp_path / "server")),
            "SWEEP_STORAGE": servers.enter_context(postgres()).address,
        }
        clones = [swept.copy(tmp_path / name) for name in ("one", "two")]
        for clone in clones:
            clone.change(train={"epochs": EPOCHS})
            change_config(clone, pruner="none", sampler="random")
        command = (*COMMAND, "--trials", "6", "--workers", "1")
        first = start(clones[0], *command, **environment)
        wait_for_epoch(clones[0], first)
        second = start(clones[1], *command, **environment)
        wait_for_epoch(clones[1], second)
        kill(first)
        output, _ = second.communicate(timeout=600)
        assert second.returncode == 0, output
        assert "Traceback" not in output
        store = environment["MLFLOW_TRACKING_URI"]
        key = parent(store).data.tags["sweep.key"]
        for ending, count in (("", 6), ("-confirmed", 2)):
            there = trials(ending, key, environment["SWEEP_STORAGE"])
            assert [trial.state for trial in there] == [TrialState.COMPLETE] * count
        finished = [run for run in children(store) if run.info.status == "FINISHED"]
        assert len(finished) == 6 + 2
        assert all(
            epochs(run.info.run_id, store=store) == [*range(1, EPOCHS + 1)] for run in finished
        )
        # A trial that moved to the other clone started again in a run of its own.
        assert {run.info.status for run in children(store)} <= {"FINISHED", "KILLED"}


def test_reviews_of_other_params_and_damaged_ones_are_one_message(
    project: Project, call: Caller
) -> None:
    reviews = project.path / "data/fetch/train_tokens.npy"
    reviews.write_bytes(reviews.read_bytes()[:-1])
    assert "differs from what the stage wrote" in call.fail(sweep.main)
    project.change(fetch={"synthetic": {"seed": 5}})
    assert "data/fetch has other reviews" in call.fail(sweep.main)


def test_sweep_with_values_that_never_work_says_why(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    project.change(train={"cell": "gru"})
    change_config(project, space={"train.forget_bias": {"choices": [2.0, 3.0]}})
    arguments = ["--trials", "3", "--workers", "1"]
    assert sweep.main.main(arguments, standalone_mode=False) == 1
    printed, errors = capfd.readouterr()
    assert "The first trial that failed: " in printed
    assert "train.forget_bias" in printed
    assert "APPLY=1" not in printed
    assert "Traceback" not in errors
