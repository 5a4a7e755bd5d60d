"""A trial trains as the stage `train` does, and its run says how it ended."""

import math
import shutil
from typing import Any

import mlflow
import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState

from extras.common.operations import connect_operations
from extras.sweep import study, trial, workers
from extras.sweep.space import ParamSpace, SweepConfig
from extras.sweep.trial import Sweep
from tests.conftest import curve, runs
from tests.project import Project
from workflow import files
from workflow.params_file import load_params
from workflow.stage import Interrupted, SignalFlag

pytestmark = pytest.mark.slow
OPERATIONS = "synthetic-sentiment operations"


@pytest.fixture
def sweep(project: Project) -> Sweep:
    """Return a sweep of the project's own params. The project has no test set."""
    for path in (project.path / "data").rglob("*test*"):
        path.unlink()
    shutil.rmtree(files.PAD)
    experiment = connect_operations()
    with mlflow.start_run() as parent:
        pass
    space = {"train.units": ParamSpace(choices=[4])}
    config = SweepConfig(best=1, seeds=2, space=space)
    storage = f"sqlite:///{project.path}/sweeps.db"
    return Sweep("some", storage, load_params(), config, parent.info.run_id, experiment)


def search(sweep: Sweep, flag: SignalFlag | None = None, **space: list[Any]) -> optuna.Study:
    """Train a trial of a sweep with these choices of params of `train`."""
    choices = {f"train.{name}": ParamSpace(choices=values) for name, values in space.items()}
    sweep = sweep._replace(config=sweep.config.model_copy(update={"space": choices}))
    reviews = files.read_reviews(files.FETCH, "train")
    searched = study.open_search(study.open_storage(sweep.storage), sweep.name)

    def objective(started: optuna.Trial) -> float:
        return trial.train_trial(sweep, reviews, flag or SignalFlag(), {}, started)

    workers.run_trials(searched, objective, 1 + len(searched.trials))
    return searched


def newest(sweep: Sweep) -> Run:
    """Return the child run that was started last."""
    run = runs(OPERATIONS)[0]
    assert run.data.tags["mlflow.parentRunId"] == sweep.parent
    return run


def test_trial_has_the_curve_of_the_stage_train_to_the_bit_and_sees_no_test_set(
    sweep: Sweep,
) -> None:
    searched = search(sweep, units=[4])
    trained = runs()[0]
    run = newest(sweep)
    assert run.info.status == "FINISHED"
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert curve(run.info.run_id, metric) == curve(trained.info.run_id, metric)
    assert run.data.params == {
        name: value
        for name, value in trained.data.params.items()
        if not name.startswith("evaluate.")
    }
    assert mlflow.MlflowClient().list_artifacts(run.info.run_id) == []
    assert searched.best_value == trained.data.metrics["val_accuracy"]


def test_trial_that_others_are_better_than_is_killed_after_an_epoch(sweep: Sweep) -> None:
    searched = study.open_search(study.open_storage(sweep.storage), sweep.name)
    for _ in range(study.REDUCTION_FACTOR):
        better = optuna.create_trial(
            value=1.0, intermediate_values={1: 1.0}, system_attrs={"completed_rung_0": 1.0}
        )
        searched.add_trial(better)
    search(sweep, units=[4])
    run = newest(sweep)
    assert searched.trials[-1].state == TrialState.PRUNED
    assert (run.info.status, len(curve(run.info.run_id))) == ("KILLED", 1)
    assert run.data.tags["sweep.ended"] == "others were better after epoch 1"


def test_trial_that_diverges_fails_and_counts(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(math, "isfinite", lambda _: False)  # the loss of an epoch
    searched = search(sweep, units=[4])
    run = newest(sweep)
    assert searched.trials[0].state == TrialState.PRUNED
    assert run.info.status == "FAILED"
    assert "The training diverged in epoch 1" in run.data.tags["sweep.ended"]


def test_interrupted_trial_is_killed_and_found_lost_later(sweep: Sweep) -> None:
    flag = SignalFlag()
    flag.number = 15
    with pytest.raises(Interrupted):
        search(sweep, flag, units=[4])
    searched = study.open_search(study.open_storage(sweep.storage), sweep.name)
    assert newest(sweep).info.status == "KILLED"
    assert searched.trials[0].state == TrialState.RUNNING


def test_run_of_a_lost_trial_is_ended_but_not_one_that_is_trained(sweep: Sweep) -> None:
    searched = study.open_search(study.open_storage(sweep.storage), sweep.name)
    searched.add_trial(optuna.create_trial(state=TrialState.RUNNING, params={}, distributions={}))
    for number in ("0", "1"):
        mlflow.start_run(
            parent_run_id=sweep.parent,
            tags={trial.STUDY: searched.study_name, trial.TRIAL: number},
        )
        mlflow.end_run("RUNNING")
    trial.end_lost_runs(sweep, searched)
    assert {run.data.tags[trial.TRIAL]: run.info.status for run in runs(OPERATIONS)[:2]} == {
        "0": "RUNNING",
        "1": "KILLED",
    }
