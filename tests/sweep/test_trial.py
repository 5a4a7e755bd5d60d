"""A trial trains as the stage `train` does, and its run says how it ended."""

import shutil
from typing import Any

import optuna
import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from optuna.trial import TrialState, create_trial

from sentiment.errors import UserError
from sentiment.project.params_file import load_params
from sentiment.project.paths import Project
from sentiment.sweep import search, space
from sentiment.sweep import study as sweep_study
from sentiment.tracking.address import StoreError
from tests.logged import curve, runs
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow
OPERATIONS = "synthetic-sentiment sweeps"


@pytest.fixture
def study(project: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    """Return a study of the small network. The project has no test set."""
    set_space(monkeypatch, "units", 1, 64)
    for path in (project.path / "data").rglob("*test*"):
        path.unlink()
    shutil.rmtree(Project.here().padded)
    return sweep_study.open_study(f"sqlite:///{project.path}/sweeps.db", "some")


def set_space(monkeypatch: pytest.MonkeyPatch, name: str, low: int, high: int) -> None:
    """Let the space be one integer. Optuna draws it."""
    monkeypatch.setitem(
        space.SPACES, "recurrent", lambda trial: trial.suggest_int(name, low, high) and None
    )


def train(study: optuna.Study, trials: int = 1) -> list[Run]:
    """Train trials, and return their runs, the first one first."""
    params = load_params(Project.here())
    distributions = sweep_study.searched_distributions(params)
    search.search(Project.here(), study, params, distributions, trials)
    return trial_runs()


def trial_runs() -> list[Run]:
    return [run for run in reversed(runs(OPERATIONS)) if search.PARENT in run.data.tags]


def raise_error(error: BaseException) -> Any:
    """Return a function that raises an error."""

    def fail(*_: object) -> None:
        raise error

    return fail


def test_first_trial_has_the_curve_of_the_stage_train_to_the_bit_and_sees_no_test_set(
    study: optuna.Study,
) -> None:
    (run,) = train(study)
    trained = runs()[0]
    assert run.info.status == "FINISHED"
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert curve(run.info.run_id, metric) == curve(trained.info.run_id, metric)
    assert run.data.params.items() <= trained.data.params.items()
    assert study.best_value == trained.data.metrics["val_accuracy_kept"]


def add_better_trials(study: optuna.Study) -> None:
    for _ in range(sweep_study.REDUCTION_FACTOR):
        better = {"intermediate_values": {1: 1.0}, "system_attrs": {"completed_rung_0": 1.0}}
        study.add_trial(
            create_trial(value=1.0, user_attrs={sweep_study.VALUES: {"units": 1}}, **better)
        )


def test_trial_that_others_are_better_than_ends_with_its_numbers_but_not_the_present_one(
    study: optuna.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    add_better_trials(study)
    present, drawn = train(study, trials=5)
    assert [present.info.status, drawn.info.status] == ["FINISHED", "KILLED"]
    assert len(curve(drawn.info.run_id)) == 1
    value = drawn.data.metrics["val_accuracy"]
    printed = capsys.readouterr().out
    assert f"Trial 4: pruned after epoch 1, val_accuracy {value:.4f}" in printed
    assert "4 of 5 trials are done, the best is trial 0 with val_accuracy 1.0000, about" in printed


def test_refused_params_are_a_failed_trial_and_the_sweep_continues(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_space(monkeypatch, "batch_size", 2_000_000, 2_000_000)  # no param allows it
    (present,) = train(study, trials=3)
    assert present.info.status == "FINISHED"
    assert [trial.state for trial in study.trials] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    assert "Trial 2 failed: sentiment/sweep/space.py is not valid:" in capsys.readouterr().out


def test_params_that_cannot_be_trained_are_a_failed_trial(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = UserError("No word is in 9 training reviews.")
    monkeypatch.setattr("sentiment.sweep.trial.Training", raise_error(error))
    (run,) = train(study)
    assert run.info.status == "FAILED"
    assert "Trial 0 failed: No word is in 9 training reviews." in capsys.readouterr().out


def test_interrupted_trial_has_failed_and_its_runs_are_killed(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiment.sweep.trial.Training", raise_error(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        train(study)
    assert {run.info.status for run in runs(OPERATIONS)} == {"KILLED"}
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    assert sweep_study.ended_trials(study) == []


def test_sweep_stops_if_mlflow_fails(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    error = MlflowException("the disk is full")
    monkeypatch.setattr("sentiment.tracking.runs.log_epochs", raise_error(error))
    with pytest.raises(StoreError, match="cannot be used: the disk is full"):
        train(study)
    assert {run.info.status for run in runs(OPERATIONS)} == {"FAILED"}
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_study_with_enough_trials_gets_no_further_one(study: optuna.Study) -> None:
    study.add_trial(create_trial(state=TrialState.PRUNED))
    assert train(study) == []
