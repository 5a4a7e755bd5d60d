"""Versions: their names, the decision about each, and the champion."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion

from sentiment.errors import UserError
from sentiment.params import EvaluateParams, FetchParams, PadParams, TrainParams
from workflow import card, files, registry, store
from workflow.files import EvaluateInputs
from workflow.promotion import Decision

INPUTS = EvaluateInputs(
    fetch=FetchParams(),
    pad=PadParams(),
    train=TrainParams(),
    evaluate=EvaluateParams(),
    key="0123456789abcdef",
)
NAME = "imdb-sentiment"
REVIEWS = 600


def predictions(correct: int, first: int = 0) -> pd.DataFrame:
    """Return predictions for positive and negative reviews, `correct` of them right."""
    actual = np.where(np.arange(REVIEWS) % 2, "positive", "negative")
    wrong = np.where(actual == "positive", "negative", "positive")
    order = (np.arange(REVIEWS) - first) % REVIEWS
    predicted = np.where(order < correct, actual, wrong)
    return pd.DataFrame(
        {
            "review": np.arange(REVIEWS),
            "actual": actual,
            "predicted": predicted,
            "probability_negative": np.where(predicted == "positive", 0.1, 0.9).astype(np.float32),
            "probability_positive": np.where(predicted == "positive", 0.9, 0.1).astype(np.float32),
            "words": 100,
            "unknown_words": 1,
            "seen_in_training": False,
        }
    )


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with a registered model without versions: creating one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        store.connect(NAME)
        mlflow.MlflowClient().create_registered_model(NAME)
    return folder / store.DATABASE


@pytest.fixture
def here(in_tmp_path: Path, empty_store: Path) -> Path:
    """Return a folder with a store, in which models can be registered."""
    shutil.copy2(empty_store, in_tmp_path)
    store.connect(NAME)
    files.new_folder(files.EVALUATE)
    return in_tmp_path


def submit(correct: int, first: int = 0) -> ModelVersion:
    """Register a version with these predictions, and let the rule decide about it."""
    predictions(correct, first).to_csv(files.PREDICTIONS_FILE, index=False)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(files.PREDICTIONS_FILE))
    client = mlflow.MlflowClient()
    version = client.create_model_version(NAME, run.info.artifact_uri, run.info.run_id)
    registry.decide(version, INPUTS, alpha=0.05)
    return client.get_model_version(NAME, version.version)


def champion() -> str:
    found = registry.find_champion(NAME)
    assert found is not None
    return str(found.version)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("imdb", "imdb-sentiment"),
        ("reviews.csv", "reviews-sentiment"),
        ("reviews.jsonl.gz", "reviews-sentiment"),
        ("my reviews.csv", "my-reviews-sentiment"),
        ("imdb.csv", "imdb-table-sentiment"),
        ("<x>.csv", "x-sentiment"),
    ],
)
def test_each_dataset_has_a_registered_model_of_its_own(dataset: str, name: str) -> None:
    assert registry.registered_name(dataset) == name


@pytest.mark.usefixtures("here")
def test_the_first_version_is_champion_and_says_why() -> None:
    version = submit(400)
    assert champion() == str(version.version)
    assert version.tags[registry.DECISION] == "promoted"
    assert version.tags[registry.REASON] == "there was no other champion"
    assert version.description is not None
    assert version.description.startswith("0.6667 · lstm-64 · champion\n")


@pytest.mark.usefixtures("here")
def test_a_better_version_replaces_the_champion_and_the_way_back_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = submit(400)
    second = submit(500)
    assert champion() == str(second.version)
    assert f"To undo this: sentiment promote {first.run_id}" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_version_that_is_not_shown_to_be_better_is_not_promoted() -> None:
    first = submit(400)
    second = submit(402)
    assert champion() == str(first.version)
    assert second.tags[registry.DECISION] == "not promoted"
    assert "accuracy 0.6700 against 0.6667" in second.tags[registry.REASON]


@pytest.mark.usefixtures("here")
def test_tests_against_a_champion_are_counted_beyond_deleted_versions() -> None:
    first = submit(400)
    second = submit(402)
    mlflow.MlflowClient().delete_model_version(NAME, second.version)
    third = submit(403)
    assert "test 2 against this champion" in third.tags[registry.REASON]
    assert mlflow.MlflowClient().get_model_version(NAME, first.version).tags["tests"] == "2"


@pytest.mark.usefixtures("here")
def test_the_rule_decides_once_about_a_version() -> None:
    submit(400)
    second = submit(402)
    predictions(600).to_csv(files.PREDICTIONS_FILE, index=False)
    assert registry.decide(second, INPUTS, alpha=0.05) is None
    assert champion() == "1"


@pytest.mark.usefixtures("here")
def test_a_champion_without_a_reason_gets_one() -> None:
    """Move the alias alone, as a person can do in MLflow."""
    predictions(400).to_csv(files.PREDICTIONS_FILE, index=False)
    with mlflow.start_run() as run:
        pass
    client = mlflow.MlflowClient()
    version = client.create_model_version(NAME, run.info.artifact_uri, run.info.run_id)
    client.set_registered_model_alias(NAME, registry.CHAMPION, version.version)
    decision = registry.decide(version, INPUTS, alpha=0.05)
    assert decision == Decision(True, "promoted by a person")


@pytest.mark.usefixtures("here")
def test_a_decision_that_was_killed_keeps_its_reason_and_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit(400)
    set_tag = registry._set_tag

    def die_at_the_last_tag(version: ModelVersion, tag: str, value: str) -> None:
        if tag == registry.DECISION:
            raise KeyboardInterrupt
        set_tag(version, tag, value)

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_set_tag", die_at_the_last_tag)
        with pytest.raises(KeyboardInterrupt):
            submit(500)
    assert champion() == "2"
    second = mlflow.MlflowClient().get_model_version(NAME, "2")
    registry.decide(second, INPUTS, alpha=0.05)
    second = mlflow.MlflowClient().get_model_version(NAME, "2")
    assert second.tags[registry.DECISION] == "promoted"
    assert second.tags[registry.REASON].startswith("better than the champion: accuracy 0.8333")
    assert second.description is not None
    assert "better than the champion" in second.description


@pytest.mark.usefixtures("here")
def test_a_version_that_a_person_registered_under_another_name_is_left_alone() -> None:
    first = submit(400)
    client = mlflow.MlflowClient()
    client.create_registered_model("mine")
    for _ in range(2):
        client.create_model_version("mine", str(first.source), str(first.run_id))
    found = registry.version_of_run(str(first.run_id))
    assert found is not None
    assert (found.name, found.version) == (NAME, first.version)


@pytest.mark.usefixtures("here")
def test_the_alias_goes_to_the_last_champion_alone() -> None:
    first = submit(400)
    second = submit(500)
    mlflow.MlflowClient().delete_registered_model_alias(NAME, registry.CHAMPION)
    registry.decide(first, INPUTS, alpha=0.05)
    assert registry.find_champion(NAME) is None
    registry.decide(second, INPUTS, alpha=0.05)
    assert champion() == "2"


@pytest.mark.usefixtures("here")
def test_the_alias_goes_to_the_version_that_a_person_promoted_last() -> None:
    first = submit(400)
    second = submit(500)
    registry.promote_run(str(first.run_id))
    mlflow.MlflowClient().delete_registered_model_alias(NAME, registry.CHAMPION)
    registry.decide(second, INPUTS, alpha=0.05)
    assert registry.find_champion(NAME) is None
    registry.decide(first, INPUTS, alpha=0.05)
    assert champion() == "1"


@pytest.mark.usefixtures("here")
def test_a_test_is_counted_once_if_its_decision_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    submit(400)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(card, "describe_version", die)
        with pytest.raises(KeyboardInterrupt):
            submit(500)
    second = mlflow.MlflowClient().get_model_version(NAME, "2")
    registry.decide(second, INPUTS, alpha=0.05)
    assert champion() == "2"
    assert mlflow.MlflowClient().get_model_version(NAME, "1").tags[registry.TEST_COUNT] == "1"


@pytest.mark.usefixtures("here")
def test_a_lost_champion_that_is_registered_again_keeps_its_reason_card_and_tests() -> None:
    lost = submit(400)
    submit(402)
    client = mlflow.MlflowClient()
    client.delete_model_version(NAME, lost.version)
    predictions(400).to_csv(files.PREDICTIONS_FILE, index=False)
    again = client.create_model_version(NAME, str(lost.source), str(lost.run_id))
    registry.decide(again, INPUTS, alpha=0.05)
    assert champion() == str(again.version)
    again = client.get_model_version(NAME, again.version)
    assert again.tags[registry.REASON] == "there was no other champion"
    assert again.tags[registry.TEST_COUNT] == "1"
    assert again.description is not None
    assert again.description.startswith("0.6667 · lstm-64 · champion\n")


@pytest.mark.usefixtures("here")
def test_a_champion_whose_alias_was_deleted_is_champion_again() -> None:
    first = submit(400)
    second = submit(402)
    mlflow.MlflowClient().delete_registered_model_alias(NAME, registry.CHAMPION)
    assert registry.decide(second, INPUTS, alpha=0.05) is None  # it was not promoted
    assert registry.find_champion(NAME) is None
    registry.decide(first, INPUTS, alpha=0.05)
    assert champion() == "1"


@pytest.mark.usefixtures("here")
def test_a_store_that_fails_while_the_rule_decides_leaves_the_decision_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit(400)

    def fail(**_: object) -> None:
        raise ConnectionError("reset by peer")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.artifacts, "download_artifacts", fail)
        with pytest.raises(OSError, match="reset by peer"):
            submit(500)
    second = mlflow.MlflowClient().get_model_version(NAME, "2")
    assert registry.DECISION not in second.tags
    registry.decide(second, INPUTS, alpha=0.05)
    assert champion() == "2"


@pytest.mark.usefixtures("here")
def test_a_candidate_with_the_champions_predictions_is_no_test() -> None:
    submit(400)
    again = submit(400)
    assert champion() == "1"
    assert again.tags[registry.REASON] == "its predictions equal the champion's"
    first = mlflow.MlflowClient().get_model_version(NAME, "1")
    assert registry.TEST_COUNT not in first.tags


@pytest.mark.usefixtures("here")
def test_a_champion_on_another_test_set_stays() -> None:
    submit(400)
    predictions(600).assign(words=50).to_csv(files.PREDICTIONS_FILE, index=False)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(files.PREDICTIONS_FILE))
    client = mlflow.MlflowClient()
    version = client.create_model_version(NAME, run.info.artifact_uri, run.info.run_id)
    decision = registry.decide(version, INPUTS, alpha=0.05)
    assert decision == Decision(False, "the champion was evaluated on another test set")


@pytest.mark.usefixtures("here")
def test_a_champion_whose_predictions_are_lost_stays() -> None:
    with mlflow.start_run() as run:
        pass
    client = mlflow.MlflowClient()
    lost = client.create_model_version(NAME, run.info.artifact_uri, run.info.run_id)
    client.set_registered_model_alias(NAME, registry.CHAMPION, lost.version)
    version = submit(600)
    assert champion() == str(lost.version)
    assert version.tags[registry.REASON].startswith("the champion's predictions cannot be read")


@pytest.mark.usefixtures("here")
def test_a_person_promotes_any_version_and_learns_the_way_back() -> None:
    first = submit(400)
    second = submit(402)
    promotion = registry.promote_run(str(second.run_id))
    assert promotion.previous_run == first.run_id
    assert champion() == str(second.version)
    assert str(promotion.version.version) == str(second.version)
    tags = mlflow.MlflowClient().get_model_version(NAME, second.version).tags
    assert (tags["decision"], tags["reason"]) == ("promoted", "promoted by a person")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("run_id", ["0" * 32, "lstm-64"])
def test_a_run_without_a_version_is_one_message(run_id: str) -> None:
    with pytest.raises(UserError, match=f"Run {run_id} has no registered version"):
        registry.promote_run(run_id)


@pytest.mark.usefixtures("here")
def test_a_version_is_found_by_its_uri_and_otherwise_the_champion() -> None:
    submit(400)
    submit(402)
    named = registry.resolve_version(f"models:/{NAME}/2", "imdb")
    default = registry.resolve_version(None, "imdb")
    assert [registry.version_uri(each) for each in (named, default)] == [
        f"models:/{NAME}/2",
        f"models:/{NAME}/1",
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (f"models:/{NAME}/7", f"There is no version models:/{NAME}/7"),
        (f"models:/{NAME}/{'9' * 400}", "is not a model version"),
        ("runs:/abc/model", "runs:/abc/model is not a model version"),
        (None, "There is no champion of other-sentiment yet"),
    ],
)
def test_a_version_that_does_not_exist_is_one_message(uri: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        registry.resolve_version(uri, "other.csv")


def test_a_card_says_what_a_user_should_know() -> None:
    sections = INPUTS.model_copy(update={"fetch": FetchParams(dataset="synthetic")})
    text = card.describe_version(sections, predictions(540).iloc[:100], Decision(False, "luck"))
    assert text.startswith(
        "1.0000 · lstm-64 · not promoted\n\nDecision after the evaluation: luck."
    )
    assert f"| accuracy{card.SPACED_COLUMNS}1.0000{card.SPACED_COLUMNS}0.9630 to 1.0000 |" in text
    assert "- All texts are generated." in text
    assert "- Only the last 200 tokens of a text are read." in text
    assert "- With fewer than 500 test texts, the metrics are uncertain." in text
