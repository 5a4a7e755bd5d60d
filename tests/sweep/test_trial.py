"""A trial trains as the stage `train` does, and its run says how it ended."""

import math
import shutil

import optuna
import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from optuna.trial import TrialState, create_trial

from sentiment.errors import UserError
from sentiment.project.arrays import read_reviews
from sentiment.project.params_file import load_params
from sentiment.project.paths import Project
from sentiment.sweep import search, space
from sentiment.sweep import study as sweep_study
from sentiment.sweep.trial import PRUNED, TrialContext
from sentiment.tracking import store
from sentiment.tracking.operations import open_operations
from sentiment.tracking.store import StoreError
from tests.conftest import curve, runs
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow
OPERATIONS = "synthetic-sentiment operations"


@pytest.fixture
def study(project: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    """Return a study of a network that XLA does not compile. The project has no test set."""
    monkeypatch.setattr(space, "draw", lambda _: {"train.cell": "simple_rnn"})
    for path in (project.path / "data").rglob("*test*"):
        path.unlink()
    here = Project.here()
    shutil.rmtree(here.padded)
    return sweep_study.open_study(f"sqlite:///{project.path}/sweeps.db", "some")


def own_trials() -> TrialContext:
    """Return what the trials of this process have in common."""
    here = Project.here()
    params = load_params(here.params_file)
    reviews = read_reviews(here.fetched, "train")
    client = store.connect(here)
    experiment = open_operations(here, client, "synthetic-sentiment")
    return TrialContext(here, client, experiment, params, 2, reviews, {})


def train_one(study: optuna.Study) -> Run:
    """Train a trial more, and return its run."""
    search.train_trials(study, own_trials(), 1 + len(study.trials))
    (run,) = runs(OPERATIONS)
    return run


def test_trial_has_the_curve_of_the_stage_train_to_the_bit_and_sees_no_test_set(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "draw", lambda trial: {"train.units": trial.suggest_int("u", 4, 4)})
    run = train_one(study)
    trained = runs()[0]
    assert run.info.status == "FINISHED"
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert curve(run.info.run_id, metric) == curve(trained.info.run_id, metric)
    assert run.data.params.items() <= trained.data.params.items()
    assert study.best_value == trained.data.metrics["val_accuracy"]


def test_trial_that_others_are_better_than_is_killed_after_an_epoch(study: optuna.Study) -> None:
    for _ in range(sweep_study.REDUCTION_FACTOR):
        better = {"intermediate_values": {1: 1.0}, "system_attrs": {"completed_rung_0": 1.0}}
        study.add_trial(create_trial(value=1.0, **better))
    run = train_one(study)
    assert study.trials[-1].state == TrialState.PRUNED
    assert (run.info.status, len(curve(run.info.run_id))) == ("KILLED", 1)
    assert run.data.tags[PRUNED] == "others were better after epoch 1"


def test_trial_that_diverges_counts_as_a_pruned_one(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(math, "isfinite", lambda _: False)  # the loss of an epoch
    run = train_one(study)
    assert study.trials[0].state == TrialState.PRUNED
    assert "The training diverged in epoch 1" in run.data.tags[PRUNED]


def test_interrupted_trial_has_failed_and_its_run_is_killed(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sentiment.tracking.runs.log_epochs", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_one(study)
    (run,) = runs(OPERATIONS)
    assert run.info.status == "KILLED"
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_sweep_stops_if_mlflow_fails(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MlflowException("the disk is full")

    monkeypatch.setattr("sentiment.tracking.runs.log_epochs", fail)
    with pytest.raises(StoreError, match="cannot be used: the disk is full"):
        train_one(study)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_value_that_is_not_allowed_ends_the_sweep_before_it_trains(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "draw", lambda _: {"train.units": 0})
    with pytest.raises(UserError, match=r"train\.units: 0 is not allowed"):
        search.train_trials(study, own_trials(), 2)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    assert runs(OPERATIONS) == []


def test_study_with_enough_trials_gets_no_further_one(study: optuna.Study) -> None:
    study.add_trial(create_trial(state=TrialState.PRUNED))
    search.train_trials(study, own_trials(), 1)
    assert len(study.trials) == 1
