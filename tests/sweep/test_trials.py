"""A trial trains as the stage `train` does, has a run of its own, and ends as Optuna says."""

import shutil
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState, create_trial

from sentiment.errors import UserError
from sentiment.params import TrainingParams
from sentiment.project.files.params_file import load_params
from sentiment.project.files.paths import Project
from sentiment.sweep import command, space, study, trials
from sentiment.sweep.trials import Sweep, draw, present_values, values_of
from sentiment.tracking import runs as tracked_runs
from sentiment.tracking.address import StoreError
from tests.logged import curve, runs
from tests.params import new_params, training_params
from tests.small_project import ProjectCopy

NONE: Any = None
WITHOUT_STORE = Sweep(NONE, "", "", new_params(), 2, NONE, None)
SWEEPS = "synthetic-sentiment sweeps"
Suggest = Callable[[optuna.Trial], Any]


def set_space(monkeypatch: pytest.MonkeyPatch, suggest: Suggest) -> None:
    monkeypatch.setattr(trials, "suggest", lambda trial, *_: suggest(trial))


@pytest.fixture
def small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the space be one integer."""
    set_space(monkeypatch, lambda trial: trial.suggest_int("units", 1, 64))


@pytest.fixture
def sweep(project: ProjectCopy, small_space: None) -> tuple[optuna.Study, Sweep]:  # noqa: ARG001
    """Return a sweep of the small network in a project without a test set."""
    for path in (project.path / "data").rglob("*test*"):
        path.unlink()
    here = Project.here()
    shutil.rmtree(here.padded)
    opened = study.open_study(f"sqlite:///{project.path}/sweeps.db", "some", here)
    return opened, command.start_sweep(here, load_params(here), opened, 2)


def child_runs() -> list[Run]:
    """Return the runs of the trials, the first one first."""
    return [run for run in reversed(runs(SWEEPS)) if trials.PARENT in run.data.tags]


@pytest.mark.slow
def test_the_first_trial_has_the_present_params_and_the_curve_of_the_stage_train_to_the_bit(
    sweep: tuple[optuna.Study, Sweep],
) -> None:
    command.run_trials(*sweep, 1)
    (run,) = child_runs()
    trained = runs()[0]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"units": "4"}
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert curve(run.info.run_id, metric) == curve(trained.info.run_id, metric)
    assert sweep[0].best_value == trained.data.metrics["val_accuracy_kept"]
    command.run_trials(*sweep, 1)  # is done
    assert len(child_runs()) == 1


@pytest.mark.slow
def test_a_trial_that_others_are_better_than_is_pruned_with_its_numbers(
    sweep: tuple[optuna.Study, Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    opened, _ = sweep
    better = {"intermediate_values": {1: 1.0}, "system_attrs": {"completed_rung_0": 1.0}}
    for _ in range(3):
        opened.add_trial(create_trial(value=1.0, **better))
    command.run_trials(*sweep, 4)
    (pruned,) = child_runs()
    assert pruned.info.status == "KILLED"
    assert len(curve(pruned.info.run_id)) == 1
    assert opened.trials[-1].state == TrialState.PRUNED
    assert "Trial 3 PRUNED: val_accuracy 0." in capsys.readouterr().out


@pytest.mark.slow
def test_values_that_are_not_allowed_are_a_pruned_trial_and_the_sweep_continues(
    sweep: tuple[optuna.Study, Sweep],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_space(monkeypatch, lambda trial: trial.suggest_int("batch_size", 2_000_000, 2_000_000))
    command.run_trials(*sweep, 3)
    states = [trial.state for trial in sweep[0].trials]
    assert TrialState.FAIL not in states
    assert len(states) == 3
    assert "sentiment/sweep/space.py is not valid" in capsys.readouterr().out


@pytest.mark.slow
def test_a_store_that_fails_ends_the_sweep_and_not_the_trial_alone(
    sweep: tuple[optuna.Study, Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(tracked_runs, "log_epochs", fail)
    with pytest.raises(StoreError):
        command.run_trials(*sweep, 2)
    assert [trial.state for trial in sweep[0].trials] == [TrialState.FAIL]


def draw_names(training: TrainingParams, is_fitted: bool, label_count: int) -> set[str]:
    trial = optuna.create_study().ask()
    space.suggest(trial, training, is_fitted, label_count)
    return {*trial.params}


@pytest.mark.parametrize("model", ["lstm", "linear", "custom"])
def test_a_space_has_params_of_its_architecture(model: str) -> None:
    training = training_params(model)
    assert draw_names(training, is_fitted=False, label_count=2) <= training.logged().keys()
    with_vectors = training_params(model, vectors="glove.txt")
    assert draw_names(with_vectors, is_fitted=False, label_count=2) <= with_vectors.logged().keys()


def test_a_table_keeps_its_batch_size_and_more_labels_may_be_balanced() -> None:
    training = training_params("linear")
    usual = draw_names(training, is_fitted=False, label_count=2)
    assert usual - draw_names(training, is_fitted=True, label_count=2) == {"batch_size"}
    assert draw_names(training, is_fitted=False, label_count=3) - usual == {"class_weight"}


def test_a_name_that_is_no_param_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    set_space(monkeypatch, lambda trial: trial.suggest_int("unit", 1, 2))
    with pytest.raises(UserError, match=r"space\.py suggests unit, but lstm has"):
        present_values(WITHOUT_STORE)


def test_drawn_numbers_have_the_digits_that_people_write() -> None:
    trial = optuna.create_study().ask()
    draw(WITHOUT_STORE, trial)
    assert all(len(str(value)) < 12 for value in values_of(trial).values())
