"""A study has a name of what its trials have in common, and knows which of them are lost."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sentiment.errors import UserError
from sentiment.project.paths import Project
from sentiment.sweep import space, study
from sentiment.sweep.values import SPACE_FILE
from sentiment.tracking.store import StoreError


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
    names = [
        study.study_name(Project.here(), {"train.epochs": 5}),
        study.study_name(Project.here(), {"train.epochs": 6}),
    ]
    for name in ("code", "space", "train"):
        np.save(paths[name].open("wb"), 2)
        names.append(study.study_name(Project.here(), {"train.epochs": 6}))
    assert len(set(names)) == len(names)
    np.save(paths["test"].open("wb"), 2)
    assert study.study_name(Project.here(), {"train.epochs": 6}) == names[-1]


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
