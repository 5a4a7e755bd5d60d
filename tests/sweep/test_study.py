"""A study has a name of what its trials have in common, and begins with the present params."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from sentiment.errors import UserError
from sentiment.params import Params
from sentiment.project.params_file import changed_params
from sentiment.project.paths import Project
from sentiment.sweep import choice, space, study
from sentiment.tracking import address
from sentiment.tracking.address import StoreError
from tests.params import new_params

TEXTS = 1000  # validation texts
LSTM = new_params()
LINEAR = new_params(model="linear")


@pytest.fixture
def searched(in_tmp_path: Path) -> optuna.Study:
    return study.open_study(f"sqlite:///{in_tmp_path}/sweeps.db", "some")


def ended(value: float | None, state: str = "COMPLETE", units: int = 64) -> FrozenTrial:
    """Return a trial of a network with some units that has ended."""
    values = {study.VALUES: {"units": units}}
    return create_trial(value=value, state=TrialState[state], user_attrs=values)


def test_study_belongs_to_fixed_params_space_training_set_and_code(in_tmp_path: Path) -> None:
    (in_tmp_path / "dvc.yaml").write_text(
        "stages: {pad: {deps: [data/fetch, code]}, train: {deps: [data/pad, code]}}"
    )
    paths = {
        "code": in_tmp_path / "code" / "module.py",
        "space": in_tmp_path / study.SPACE_FILE,
        "train": in_tmp_path / "data" / "fetch" / "train_ranks.npy",
        "test": in_tmp_path / "data" / "fetch" / "test_ranks.npy",
    }
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path.open("wb"), 1)
    params = LSTM

    def name() -> str:
        return study.study_name(Project.here(), params, study.searched_distributions(params))

    names = [name()]
    params = changed_params(params, {"lstm.epochs": 6})
    names.append(name())
    for changed in ("code", "space", "train"):
        np.save(paths[changed].open("wb"), 2)
        names.append(name())
    assert len(set(names)) == len(names)
    np.save(paths["test"].open("wb"), 2)
    params = changed_params(params, {"lstm.units": 7})  # is searched
    assert name() == names[-1]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda trial: trial.suggest_int("unit", 1, 2), "unit cannot be searched"),
        (lambda trial: trial.suggest_int("seed", 1, 2), "seed cannot be searched"),
        (lambda trial: trial.suggest_int("ngrams", 1, 2), "cannot be searched"),
        (lambda trial: trial.suggest_int("units", 9, 8), "low <= high"),
    ],
)
def test_space_that_is_not_valid_is_one_message(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[[optuna.Trial], Any], message: str
) -> None:
    monkeypatch.setitem(space.SPACES, "recurrent", draw)
    with pytest.raises(UserError, match=rf"space\.py is not valid.*{message}"):
        study.searched_distributions(LSTM)


@pytest.mark.parametrize("params", [LSTM, LINEAR])
def test_present_params_are_the_first_trial(searched: optuna.Study, params: Params) -> None:
    distributions = study.searched_distributions(params)
    study.enqueue_present(searched, params, distributions)
    study.enqueue_present(searched, params, distributions)
    (trial,) = searched.trials
    assert trial.state == TrialState.WAITING
    assert trial.params == trial.user_attrs[study.VALUES]
    assert changed_params(params, study.named_values(params, trial.params)) == params


@pytest.mark.parametrize("outside", [{"units": 20}, {"pooling": "last"}])
def test_present_params_outside_the_space_are_the_first_trial_as_well(
    searched: optuna.Study,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outside: dict[str, Any],
) -> None:
    def draw(trial: optuna.Trial) -> None:
        trial.suggest_int("units", 32, 64)
        trial.suggest_categorical("pooling", ["max", "mean"])

    monkeypatch.setitem(space.SPACES, "recurrent", draw)
    params = new_params(lstm={"pooling": "max"} | outside)
    study.enqueue_present(searched, params, study.searched_distributions(params))
    assert "params.yaml is outside the space" in capsys.readouterr().out
    (trial,) = searched.trials
    assert new_params(lstm=trial.user_attrs[study.VALUES]) == params


def test_drawn_numbers_have_the_digits_that_people_write() -> None:
    values = study.draw_values(optuna.create_study().ask(), LSTM)
    assert all(len(str(value)) < 12 for value in values.values())


def test_best_completed_trials_are_shown_first(searched: optuna.Study) -> None:
    assert study.describe_trials(searched) == "No trial was trained to its end yet."
    searched.add_trials([ended(0.5), ended(0.75, units=8), ended(0.9, "PRUNED")])
    searched.add_trial(
        create_trial(state=TrialState.FAIL, user_attrs={study.REFUSED: "units: 0 is not allowed"})
    )
    searched.add_trials([create_trial(state=TrialState.FAIL)] * 8)  # were lost
    searched.add_trial(ended(0.6, units=128))
    assert study.describe_counts(searched) == "3 trained, 1 pruned, 1 failed"
    assert study.describe_trials(searched).splitlines() == [
        "trial              1      12       0",
        "val_accuracy  0.7500  0.6000  0.5000",
        "units              8     128      64",
    ]
    assert study.find_trial(searched, study.BEST).number == 1
    assert study.find_trial(searched, "2").number == 2
    with pytest.raises(UserError, match="some has no trial 3 that is done"):
        study.find_trial(searched, "3")


# Two standard errors of 0.800 and 0.835 on 1,000 texts are 0.0345, and of 0.834 0.0346.
@pytest.mark.parametrize(
    ("best", "is_better", "text"),
    [
        (0.835, True, "The gain of 0.0350 exceeds two standard errors (0.0345, 1,000 validation"),
        (0.834, False, "does not exceed two standard errors (0.0346, 1,000 validation texts)"),
        (0.790, False, "No trial is better than params.yaml: val_accuracy 0.8000"),
    ],
)
def test_best_trial_is_taken_if_its_gain_exceeds_two_standard_errors(
    searched: optuna.Study, best: float, is_better: bool, text: str
) -> None:
    searched.add_trials([ended(0.8), ended(best, units=8)])
    decision, explained = choice.compare_best(searched, LSTM, TEXTS)
    assert decision == is_better
    assert text in explained


def test_best_trial_needs_the_present_params_for_comparison(searched: optuna.Study) -> None:
    searched.add_trials([ended(0.9, units=8), ended(0.8, "PRUNED")])
    with pytest.raises(UserError, match=r"No trial has the values in params\.yaml.* --trials 3"):
        choice.compare_best(searched, LSTM, TEXTS)


@pytest.mark.slow
@pytest.mark.usefixtures("empty_store")
def test_database_of_mlflow_is_one_message() -> None:
    message = r"cannot be used.*tables of something else.*\n.*--storage"
    with pytest.raises(StoreError, match=message):
        study.open_study(f"sqlite:///{address.DATABASE}", "some")


@pytest.mark.usefixtures("in_tmp_path")
def test_unusable_database_is_one_message() -> None:
    message = r"cannot be used.*unable to open.*\n.*--storage"
    with pytest.raises(StoreError, match=message), study.storage_errors():
        study.open_study("sqlite:////nowhere/sweeps.db", "some")


def test_the_vocabulary_is_searched_only_without_word_vectors() -> None:
    with_vectors = new_params(model="linear", vectors="glove.txt")
    assert "num_words" in study.searchable_params(LINEAR)
    assert {"num_words", "vectors"} & study.searchable_params(with_vectors).keys() == set()
