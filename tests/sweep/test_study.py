"""A study belongs to its texts, and says how precise its best trial is."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sentiment.errors import UserError
from sentiment.project.files.paths import Project
from sentiment.sweep import study
from sentiment.tracking import address
from sentiment.tracking.address import StoreError


@pytest.fixture
def searched(in_tmp_path: Path) -> optuna.Study:
    (in_tmp_path / "data" / "fetch").mkdir(parents=True)
    (in_tmp_path / "data" / "fetch" / "texts").write_text("a")
    return open_study()


def open_study(url: str = "sqlite:///sweeps.db") -> optuna.Study:
    return study.open_study(url, "some", Project.here())


def ended(value: float | None, state: TrialState = TrialState.COMPLETE) -> optuna.trial.FrozenTrial:
    return create_trial(value=value, state=state)


def test_the_trials_of_other_texts_are_not_continued(searched: optuna.Study) -> None:
    assert open_study().study_name == searched.study_name
    Path("data/fetch/texts").write_text("b")
    with pytest.raises(UserError, match=r"other texts.*--study NAME"):
        open_study()


@pytest.mark.slow
@pytest.mark.usefixtures("empty_store")
def test_the_database_of_mlflow_is_one_message() -> None:
    with pytest.raises(StoreError, match=r"tables of something else.*\n.*--storage"):
        open_study(f"sqlite:///{address.DATABASE}")


@pytest.mark.usefixtures("in_tmp_path")
def test_an_unusable_database_is_one_message() -> None:
    with pytest.raises(StoreError, match=r"unable to open.*\n.*--storage"), study.storage_errors():
        open_study("sqlite:////nowhere/sweeps.db")


@pytest.mark.parametrize(
    ("texts", "share", "points", "advice"),
    [
        (25_000, 0.2, "2.2", None),
        (20_000, 0.04, "5.5", "validation_split: 0.08 would help"),  # 1,537 texts have 4 points
        (2_600, 0.04, "15.4", "More texts would help"),
    ],
)
def test_a_wide_interval_is_said_with_what_would_help(
    searched: optuna.Study, texts: int, share: float, points: str, advice: str | None
) -> None:
    said = study.describe_precision(searched, texts, share)
    assert f"{round(texts * share):,} validation texts" in said
    assert f"{points} points" in said
    assert (advice in said) if advice else ("\n" not in said)


def test_the_best_trial_has_its_interval_and_number_of_texts(searched: optuna.Study) -> None:
    searched.add_trials([ended(0.5), ended(0.75), ended(0.9, TrialState.PRUNED)])
    assert study.describe_counts(searched) == "2 complete, 1 pruned, 0 fail"
    best = study.describe_best(searched.best_trial, 400)
    assert "trial 1: val_accuracy 0.7500 on 400 validation texts" in best
    assert "0.7053 to 0.7899" in best  # Wilson's
    with pytest.raises(UserError, match="no trial 7"):
        study.find_trial(searched, "7")
