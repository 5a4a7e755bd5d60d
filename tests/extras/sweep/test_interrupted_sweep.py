"""Commands in two clones share a sweep while their processes are killed and interrupted.

All tests read one real sweep, because each of its processes imports TensorFlow.
"""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
import psutil
import pytest
from optuna.trial import TrialState

from extras.sweep import __main__ as sweep
from extras.sweep import study
from sentiment.network.training import EPOCHS as SAVED_EPOCHS
from tests.conftest import Caller, epochs
from tests.extras.sweep.conftest import (
    CONFIG,
    change_config,
    checkpoint_keys,
    children,
    parent,
    require_curve_of_stage,
    trials,
)
from tests.project import Project, wait_until
from tests.services import kill, mlflow_server, postgres
from workflow.checkpoints import FOLDER, PROCESS_FILE, STATE_FILE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("server")]

# Ann's command starts seconds after Bob's, and his may have trained three trials before hers trains
# one. Each clone still finds another trial then. Optuna's plots need four.
TRIALS = 6
CONFIRMATIONS = 2
# Signals are sent in the first half of a trial. The second half takes most of a second, or longer
# on a slow machine, and sending a signal takes milliseconds.
EPOCHS = 12
COMMAND = ("python", "-m", "extras.sweep")


class SharedSweep(NamedTuple):
    """A sweep that ended after all interruptions.

    Attributes:
        ann: the clone where the sweep was finished.
        bob: the clone whose command was killed.
        orphans: processes of the killed command that still run, minutes later.
        interrupted: Ann's command that Ctrl-C interrupted, with its output.
        left_running: its processes that still run, minutes later.
        output: the output of Ann's last command.
    """

    ann: Project
    bob: Project
    orphans: list[psutil.Process]
    interrupted: "subprocess.CompletedProcess[str]"
    left_running: list[psutil.Process]
    output: str


def worker_of(checkpoint: Path) -> psutil.Process:
    """Return the process that trains the trial of a checkpoint."""
    return psutil.Process(int((checkpoint / PROCESS_FILE).read_text(encoding="utf-8")))


def is_in_first_half(checkpoint: Path, command: "subprocess.Popen[str]") -> bool:
    """Return whether a worker of a command trains a trial, with half the epochs still to come."""
    if worker_of(checkpoint).ppid() != command.pid:
        return False
    with np.load(checkpoint / STATE_FILE) as arrays:
        return len(arrays[SAVED_EPOCHS]) <= EPOCHS / 2


def wait_for_trial(
    project: Project, command: "subprocess.Popen[str]", other_than: Path | None = None
) -> Path:
    """Wait until a worker of a command is in the first half of a trial. Return its checkpoint."""
    found: list[Path] = []

    def is_found() -> bool:
        assert command.poll() is None, command.communicate()
        for state in project.path.glob(f"{FOLDER}/*/{STATE_FILE}"):
            # The trial or its process may just have ended, or the process writes its id.
            with suppress(FileNotFoundError, psutil.NoSuchProcess, ValueError):
                if state.parent != other_than and is_in_first_half(state.parent, command):
                    found.append(state.parent)
        return bool(found)

    wait_until(is_found, pause=0.1)
    return found[0]


@pytest.fixture(scope="module")
def shared_sweep(
    finished: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedSweep]:
    """A sweep of two clones with one server and one database, which was interrupted and finished.

    Both clones train at the same time. Bob's command is killed in a trial after his first one, and
    that trial starts again in Ann's clone. From then on, only Ann's processes work. They resume two
    trials of hers: one whose worker was killed, and another one that Ctrl-C interrupted.
    """
    folder = tmp_path_factory.mktemp("shared")
    with ExitStack() as stack:
        (folder / "server").mkdir()
        environment = {
            "MLFLOW_TRACKING_URI": stack.enter_context(mlflow_server(folder / "server")),
            study.STORAGE: stack.enter_context(postgres()).address,
        }

        def clone(user: str) -> Project:
            project = finished.copy(folder / user)
            # XLA does not compile this network, which saves each process seconds.
            project.change(train={"epochs": EPOCHS, "cell": "simple_rnn"})
            change_config(project, **CONFIG, pruner="none", sampler="random")
            project.environment |= {**environment, "LOGNAME": user}  # the tag of the user's runs
            return project

        def start(project: Project) -> "subprocess.Popen[str]":
            process = project.start(*COMMAND, "--trials", str(TRIALS), "--workers", "1")
            stack.callback(kill, process)
            return process

        ann = clone("ann")
        bob = clone("bob")
        bobs_command = start(bob)
        assert bobs_command.stdout is not None
        bobs_command.stdout.readline()  # it has created the tables and the parent run
        anns_command = start(ann)

        first = wait_for_trial(bob, bobs_command)
        lost = wait_for_trial(ann, anns_command)
        worker_of(lost).kill()
        wait_until(lambda: not first.exists())  # Bob's first trial has ended
        wait_for_trial(bob, bobs_command)
        bobs_processes = psutil.Process(bobs_command.pid).children(recursive=True)
        bobs_command.kill()

        wait_for_trial(ann, anns_command, other_than=lost)
        anns_processes = psutil.Process(anns_command.pid).children(recursive=True)
        os.killpg(anns_command.pid, signal.SIGINT)
        printed, _ = anns_command.communicate(timeout=300)

        _, orphans = psutil.wait_procs(bobs_processes, timeout=300)
        _, left_running = psutil.wait_procs(anns_processes, timeout=300)
        output = ann.run(*COMMAND, "--workers", "1")  # as many trials as before
        yield SharedSweep(
            ann=ann,
            bob=bob,
            orphans=orphans,
            interrupted=subprocess.CompletedProcess(COMMAND, anns_command.returncode, printed),
            left_running=left_running,
            output=output,
        )


@pytest.fixture
def server(shared_sweep: SharedSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process use the server and the database of the sweep."""
    url = shared_sweep.ann.environment["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    mlflow.set_tracking_uri(url)
    monkeypatch.setenv(study.STORAGE, shared_sweep.ann.environment[study.STORAGE])


def statuses(user: str) -> Counter[str]:
    """Return how many child runs of a user have each status."""
    return Counter(run.info.status for run in children() if run.data.tags["mlflow.user"] == user)


def test_sweep_has_exactly_the_trials_and_confirmations_that_were_asked_for(
    shared_sweep: SharedSweep,
) -> None:
    assert f"{TRIALS} of {TRIALS}" in shared_sweep.output
    assert [trial.state for trial in trials()] == [TrialState.COMPLETE] * TRIALS
    assert [trial.state for trial in trials("-confirmed")] == [TrialState.COMPLETE] * CONFIRMATIONS
    assert len({study.first_number(trial) for trial in trials()}) == TRIALS
    assert (statuses("ann") + statuses("bob"))["FINISHED"] == TRIALS + CONFIRMATIONS


def test_finished_run_has_each_epoch_once() -> None:
    for run in children():
        if run.info.status == "FINISHED":
            assert epochs(run.info.run_id) == [*range(1, EPOCHS + 1)]


def test_no_run_is_left_running() -> None:
    assert {run.info.status for run in children()} <= {"FINISHED", "KILLED"}


def test_trial_is_resumed_in_its_run_in_the_same_clone(shared_sweep: SharedSweep) -> None:
    assert "Resuming after epoch" in shared_sweep.output
    assert set(statuses("ann")) == {"FINISHED"}


def test_trial_of_a_killed_clone_starts_again_in_another_run_and_its_finished_one_counts() -> None:
    assert statuses("bob")["KILLED"] == 1
    assert statuses("bob")["FINISHED"] >= 1


def test_no_worker_outlives_a_killed_command(shared_sweep: SharedSweep) -> None:
    assert shared_sweep.orphans == []


def test_ctrl_c_is_one_message_and_leaves_no_process(shared_sweep: SharedSweep) -> None:
    assert shared_sweep.interrupted.returncode == 128 + signal.SIGINT
    assert shared_sweep.interrupted.stdout.count("interrupted") == 1
    assert "Traceback" not in shared_sweep.interrupted.stdout
    assert shared_sweep.left_running == []


def test_output_has_neither_a_traceback_nor_messages_of_tensorflow(
    shared_sweep: SharedSweep,
) -> None:
    assert "Traceback" not in shared_sweep.output
    assert "oneDNN" not in shared_sweep.output  # TensorFlow prints it as it starts


def test_no_checkpoint_is_left_behind(shared_sweep: SharedSweep, finished: Project) -> None:
    assert checkpoint_keys(shared_sweep.ann) <= checkpoint_keys(finished)


def test_parent_run_has_the_table_and_the_plots() -> None:
    logged = mlflow.MlflowClient().list_artifacts(parent().info.run_id)
    names = ["history.png", "importances.png", "table.txt", "values.png"]
    assert sorted(file.path for file in logged) == names


def test_winner_that_is_applied_in_any_clone_gives_its_curve_again_to_the_same_bits(
    shared_sweep: SharedSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Caller
) -> None:
    monkeypatch.chdir(shared_sweep.bob.copy(tmp_path / "project").path)
    (winner,) = call.json(sweep.main, "--apply")["confirmed"]
    name = f"trial {winner['trial']}"
    trained = [run for run in children() if run.info.run_name.endswith(name)]
    first = next(run for run in trained if run.info.status == "FINISHED")
    require_curve_of_stage(call, first)
