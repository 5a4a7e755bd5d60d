"""A study has a name of what its trials have in common, and knows which of them are lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from sentiment.errors import UserError
from sentiment.sweep import space, study
from sentiment.sweep.values import SPACE_FILE
from sentiment.tracking import registry
from sentiment.tracking.store import StoreError
from tests.services import postgres


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, in_tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{in_tmp_path}/sweeps.db"
    else:
        with postgres() as address:
            yield address


def test_processes_that_start_a_sweep_at_the_same_time_make_one_study(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: study.open_study(url, "some"), range(4)))
    assert len(optuna.get_all_study_names(url)) == 1
    assert {each.study_name for each in opened} == {"some"}


@pytest.mark.usefixtures("empty_store")
def test_lost_trial_is_enqueued_again_and_its_run_ends() -> None:
    searched = study.open_study("sqlite:///sweeps.db", "some")
    run = mlflow.MlflowClient().create_run(registry.connect_experiment("imdb"))
    units = {"units": IntDistribution(1, 100)}
    attributes = {study.RUN_ID: run.info.run_id}
    lost = create_trial(
        state=TrialState.FAIL, params={"units": 7}, distributions=units, user_attrs=attributes
    )
    searched.add_trial(lost)
    study.end_run_and_retry(searched, searched.trials[0])
    assert searched.trials[1].state == TrialState.WAITING
    assert searched.trials[1].params == {"units": 7}
    assert mlflow.get_run(run.info.run_id).info.status == "KILLED"


def test_values_whose_trials_are_always_lost_are_enqueued_three_times(in_tmp_path: Path) -> None:
    searched = study.open_study(f"sqlite:///{in_tmp_path}/sweeps.db", "some")
    searched.add_trial(create_trial(state=TrialState.FAIL))
    for _ in range(5):
        study.end_run_and_retry(searched, searched.trials[-1])
    assert len(searched.trials) == 1 + 3


def test_study_belongs_to_fixed_params_space_training_set_and_code(in_tmp_path: Path) -> None:
    (in_tmp_path / "dvc.yaml").write_text(
        "stages: {pad: {deps: [data/fetch, code]}, train: {deps: [data/pad, code]}}"
    )
    paths = {
        "code": in_tmp_path / "code" / "module.py",
        "space": in_tmp_path / SPACE_FILE,
        "train": in_tmp_path / "data" / "fetch" / "train_ranks.npy",
        "test": in_tmp_path / "data" / "fetch" / "test_ranks.npy",
    }
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path.open("wb"), 1)
    names = [study.study_name({"train.epochs": 5}), study.study_name({"train.epochs": 6})]
    for name in ("code", "space", "train"):
        np.save(paths[name].open("wb"), 2)
        names.append(study.study_name({"train.epochs": 6}))
    assert len(set(names)) == len(names)
    np.save(paths["test"].open("wb"), 2)
    assert study.study_name({"train.epochs": 6}) == names[-1]


def test_best_completed_trials_are_shown_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "draw", lambda trial: {"train.units": trial.number})
    searched = optuna.create_study(study_name="some", direction="maximize")
    assert study.describe_trials(study.best_trials(searched)) == (
        "No trial was trained to its end yet."
    )
    for value, state in ((0.5, "COMPLETE"), (0.75, "COMPLETE"), (0.9, "PRUNED"), (None, "FAIL")):
        searched.add_trial(create_trial(value=value, state=TrialState[state]))
    table = study.describe_trials(study.best_trials(searched)).splitlines()
    assert [line.split() for line in table] == [
        ["trial", "1", "0"],
        ["val_accuracy", "0.7500", "0.5000"],
        ["train.units", "1", "0"],
    ]
    assert study.find_trial(searched, study.BEST).number == 1
    assert study.find_trial(searched, "2").number == 2
    with pytest.raises(UserError, match="some has no trial 3 that is done"):
        study.find_trial(searched, "3")


@pytest.mark.usefixtures("in_tmp_path")
def test_unusable_database_is_one_message() -> None:
    message = r"cannot be used.*unable to open.*\n.*--storage"
    with pytest.raises(StoreError, match=message), study.storage_errors():
        study.open_study("sqlite:////nowhere/sweeps.db", "some")
