"""`sentiment sweep` is killed and called again, and writes the params of a trial."""

import inspect
import os
import signal
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from sentiment.project.params_file import load_params
from sentiment.project.paths import Project
from sentiment.sweep import space, study
from tests.command import Command
from tests.logged import runs
from tests.small_project import ProjectCopy, wait_until

pytestmark = pytest.mark.slow
OPERATIONS = "synthetic-sentiment sweeps"
PARAMS = Path("params.yaml")


def draw(trial: optuna.Trial, architecture: str) -> None:  # noqa: ARG001
    """Draw from a space of small networks with few epochs, unlike the present params."""
    trial.suggest_categorical("units", [3, 4])
    trial.suggest_int("epochs", 1, 1)


def read_trials() -> list[optuna.trial.FrozenTrial]:
    return list(optuna.load_study(study_name=None, storage="sqlite:///sweeps.db").trials)


def test_killed_sweep_continues_and_applies_what_is_clearly_better(
    project: ProjectCopy, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.change(lstm={"epochs": 60})
    source = f"import optuna\n\n{inspect.getsource(draw)}"
    (project.path / study.SPACE_FILE).write_text(source, encoding="utf-8")
    with project.start(sys.executable, "-m", "sentiment", "sweep", "--trials", "3") as killed:

        def has_epochs() -> bool:
            return any(run.data.metrics for run in runs(OPERATIONS))

        wait_until(lambda: killed.poll() is not None or has_epochs(), pause=0.2)
        assert killed.poll() is None, killed.communicate()
        os.killpg(killed.pid, signal.SIGKILL)
    monkeypatch.setattr(space, "draw", draw)
    # No other process runs any more, so a trial without a heartbeat is lost and not only slow.
    monkeypatch.setattr(study, "GRACE_SECONDS", 1)
    printed = sentiment("sweep", "--trials", "3")
    lost, *done = read_trials()
    assert lost.state == TrialState.FAIL
    assert [trial.state in study.DONE for trial in done] == [True] * 3
    assert lost.user_attrs[study.VALUES] in [trial.user_attrs[study.VALUES] for trial in done]
    assert "3 of 3 trials are done, the best is trial" in printed
    assert "To look at it, start `make ui`, and open" in printed

    before = load_params(Project.here())
    monkeypatch.setattr("sentiment.sweep.choice.STANDARD_ERRORS", 100)
    kept = sentiment("sweep", "--apply")
    assert load_params(Project.here()) == before
    assert "No trial is better" in kept or "params.yaml stays as it is" in kept
    sentiment("sweep", "--apply", "3")
    assert load_params(Project.here()).training.section.epochs == 1


def test_texts_of_other_params_are_refused(project: ProjectCopy, sentiment: Command) -> None:
    project.change(fetch={"synthetic": {"seed": 1}})
    message = sentiment.fail("sweep")
    assert "data/fetch has other texts than params.yaml. Run `dvc repro fetch`." in message


def test_word_vectors_of_other_params_are_refused(project: ProjectCopy, sentiment: Command) -> None:
    project.change(vectors="other.txt")
    message = sentiment.fail("sweep")
    assert "data/pad has other word vectors than params.yaml. Run `dvc repro pad`." in message
