"""`sentiment sweep` is shared by processes, survives a kill, and writes the params of a trial."""

import inspect
import os
import signal
import subprocess
import sys

import optuna
import pytest
from optuna.trial import TrialState

from sentiment.project.files.params_file import load_params
from sentiment.project.files.paths import Project
from sentiment.sweep import study
from sentiment.sweep.trials import PARENT
from tests.command import Command
from tests.logged import runs
from tests.small_project import ProjectCopy, wait_until

pytestmark = pytest.mark.slow
TRIALS = 4


def suggest(trial: optuna.Trial, *_: object) -> None:
    """Suggest small networks with few epochs, unlike the present params."""
    trial.suggest_categorical("units", [3, 4])
    trial.suggest_int("epochs", 1, 4)


def has_reported(trials: list[optuna.trial.FrozenTrial]) -> bool:
    """Return whether a trial has ended an epoch."""
    return any(trial.intermediate_values for trial in trials)


def wait_for_first_trial(process: "subprocess.Popen[str]") -> None:
    """Wait until a sweep has begun its first trial.

    Before that, it makes its database. A process that opens the database at this moment would make
    it as well, and both may fail.
    """
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Trial 0"):
            return
    pytest.fail("".join(lines))


def test_two_processes_of_which_one_is_killed_end_with_all_trials(
    project: ProjectCopy, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"import optuna\n\n{inspect.getsource(suggest)}"
    (project.path / "sentiment" / "sweep" / "space.py").write_text(source, encoding="utf-8")
    settings = project.path / "sentiment" / "sweep" / "study.py"
    quick = settings.read_text().replace("GRACE_SECONDS = 30", "GRACE_SECONDS = 6")
    settings.write_text(quick, encoding="utf-8")
    command = (sys.executable, "-m", "sentiment", "sweep", "--trials", str(TRIALS))
    with project.start(*command) as killed:
        wait_for_first_trial(killed)
        with project.start(*command) as other:
            shared = optuna.load_study(study_name="synthetic-lstm", storage="sqlite:///sweeps.db")
            wait_until(lambda: killed.poll() is not None or has_reported(shared.trials), pause=0.1)
            assert killed.poll() is None, killed.communicate()
            os.killpg(killed.pid, signal.SIGKILL)
            printed, _ = other.communicate(timeout=600)
    assert other.returncode == 0, printed
    done = [trial for trial in shared.trials if trial.state.is_finished()]
    finished = [trial for trial in done if trial.state != TrialState.FAIL]
    assert len(finished) >= TRIALS
    assert "The best is trial" in printed
    logged = runs("synthetic-sentiment sweeps")
    assert sum(PARENT not in run.data.tags for run in logged) == 1  # the sweep
    monkeypatch.setattr(study, "GRACE_SECONDS", 6)
    best = max((t for t in finished if t.value is not None), key=lambda t: float(t.value or 0))
    assert "partly lucky" in sentiment("sweep", "--apply", str(best.number))
    assert load_params(Project.here()).training.section.epochs == best.params["epochs"]


def test_texts_of_other_params_are_refused(project: ProjectCopy, sentiment: Command) -> None:
    project.change(fetch={"synthetic": {"seed": 1}})
    message = sentiment.fail("sweep")
    assert "data/fetch has other texts than params.yaml. Run `dvc repro fetch`." in message


def test_word_vectors_of_other_params_are_refused(project: ProjectCopy, sentiment: Command) -> None:
    project.change(vectors="other.txt")
    message = sentiment.fail("sweep")
    assert "data/pad has other word vectors than params.yaml. Run `dvc repro pad`." in message
