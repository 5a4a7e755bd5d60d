"""Each evaluated model is a version, which the rule makes champion or says why it does not."""

import shutil
import tempfile
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from sentiment.errors import StoreError, UserError
from tests.workflow.registry.submitting import (
    NAME,
    Submitter,
    champion_run,
    tags_of,
    write_evaluation,
)
from workflow import tracking
from workflow.registry import promotion, versions
from workflow.registry.promotion import Decision, StoredEvaluation


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("imdb", "imdb-sentiment"),
        ("Kritiken für Bücher.2024.jsonl.gz", "Kritiken-für-Bücher-2024-sentiment"),
        ("imdb.csv", "imdb-table-sentiment"),
        ("imdb+labeled", "imdb-labeled-sentiment"),
        ("imdb+!", "imdb-table-sentiment"),
    ],
)
def test_each_dataset_has_a_registered_model(dataset: str, name: str) -> None:
    assert versions.model_name(dataset) == name


def test_first_version_is_champion(client: mlflow.MlflowClient, submit: Submitter) -> None:
    assert champion_run(client) is None
    first = submit(10)
    assert champion_run(client) == first.run_id
    assert tags_of(first)["promote.reason"] == "there was none before"


def test_version_says_why_before_it_becomes_champion(
    submit: Submitter, client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    run = submit.new_run()
    monkeypatch.setattr(mlflow.MlflowClient, "set_registered_model_alias", interrupt)
    with pytest.raises(KeyboardInterrupt):
        submit.register(run, 10)
    assert champion_run(client) is None
    assert tags_of(run)["promote.reason"] == "there was none before"


def test_equal_version_is_not_promoted_and_says_why(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    first = submit(10)
    equal = submit(10)
    assert champion_run(client) == first.run_id
    assert tags_of(equal)["promote.decision"] == "not promoted"
    assert "not shown to be better" in tags_of(equal)["promote.reason"]


def test_better_version_becomes_champion_and_says_why(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    submit(10)
    better = submit(20)
    assert champion_run(client) == better.run_id
    tags = tags_of(better)
    assert tags["promote.decision"] == "champion"
    assert tags["promote.by"] == "rule"
    assert tags["promote.reason"].startswith("better than the champion")
    assert tags["promote.replaced"] == "1"
    assert tags["test_accuracy"] == "1.0"


@pytest.mark.usefixtures("client")
def test_candidates_are_numbered_as_they_are_tested_against_a_champion(submit: Submitter) -> None:
    submit(10)
    strict = submit.params.promote.model_copy(update={"calibration_margin": -1.0})
    untested = submit(11, strict)  # refused before the test
    assert "promote.candidate" not in tags_of(untested)
    first = submit(11)
    second = submit(12)
    assert tags_of(first)["promote.candidate"] == "1"
    assert tags_of(first)["promote.against"] == "1"
    assert "test 2 against this champion" in tags_of(second)["promote.reason"]


def test_number_of_a_deleted_candidate_is_not_given_again(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    submit(10)
    submit(11)
    client.delete_model_version(NAME, "2")
    assert tags_of(submit(11))["promote.candidate"] == "2"


@pytest.mark.usefixtures("client")
def test_candidate_that_is_evaluated_again_on_the_same_test_set_keeps_its_number(
    submit: Submitter,
) -> None:
    submit(10)
    candidate = submit(11)
    submit.register(candidate, 12)
    assert "test 1 against this champion" in tags_of(candidate)["promote.reason"]


@pytest.mark.usefixtures("client")
def test_candidate_on_another_test_set_is_tested_at_a_lower_level(
    submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test the same pair of models again for each test set."""
    submit(10)
    candidate = submit(11)

    def predict_again(
        _: object, champion: StoredEvaluation, candidate: StoredEvaluation
    ) -> StoredEvaluation:
        return champion._replace(test_digest=candidate.test_digest)

    monkeypatch.setattr(versions, "evaluate_on_new_test_set", predict_again)
    submit.evaluation = {"test_digest": "larger"}
    submit.register(candidate, 11)
    assert (
        "test 2 against this champion, significance level 0.0083"
        in tags_of(candidate)["promote.reason"]
    )


def test_same_package_of_a_run_is_the_same_version(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    run = submit(10)
    submit.register(run, 11)
    (version,) = versions.versions_of_run(run.run_id)
    assert version.tags["test_accuracy"] == "0.55"
    assert version.tags["promote.reason"] == "there was none before"
    assert versions.load_profile(version) == {"words": 11}
    assert champion_run(client) == run.run_id


def test_another_package_of_a_run_is_another_version_and_tested_against_the_first(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    run = submit(10)
    submit.register(run, 20, threshold=0.4)
    newest, oldest = versions.versions_of_run(run.run_id)
    assert oldest.tags["promote.reason"] == "there was none before"
    assert versions.load_profile(newest) == {"words": 20}
    assert versions.load_profile(oldest) == {"words": 10}
    assert "+10 of 20 reviews" in newest.tags["promote.reason"]
    champion = versions.find_champion(client, NAME)
    assert champion is not None
    assert champion.version == newest.version


def test_rule_decides_again_if_the_champion_was_replaced_in_the_meantime(
    client: mlflow.MlflowClient, submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(10)
    strong = submit(13)  # the lead is too small for a promotion
    decide = promotion.decide_promotion
    champions = []

    def replace_champion(
        candidate: StoredEvaluation, champion: StoredEvaluation, *rest: object
    ) -> Decision:
        champions.append(int((champion.predictions["predicted"] == "positive").sum()))
        client.set_registered_model_alias(NAME, "champion", "2")
        return decide(candidate, champion, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(versions, "decide_promotion", replace_champion)
    candidate = submit(18)  # better than 10, not shown to be better than 13
    assert champions == [10, 13]
    assert champion_run(client) == strong.run_id
    assert tags_of(candidate)["promote.against"] == "2"


@pytest.mark.parametrize("loss", ["another", "removed"])
def test_champion_whose_evaluation_is_lost_stays_champion(
    client: mlflow.MlflowClient, submit: Submitter, loss: str
) -> None:
    first = submit(10)
    stored = Path("mlruns", first.experiment_id, first.run_id, "artifacts", "versions", "1")
    shutil.rmtree(stored)
    if loss == "another":  # whole in itself, but not what the version was decided by
        write_evaluation(stored, submit.params, 5)
    second = submit(20)
    reason = tags_of(second)["promote.reason"]
    assert reason.startswith("the champion's evaluation cannot be read: ")
    assert tempfile.gettempdir() not in reason
    assert champion_run(client) == first.run_id


def test_store_that_fails_during_the_decision_leaves_it_open(
    client: mlflow.MlflowClient, submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(10)

    def fail(*_: object, **__: object) -> None:
        raise MlflowException("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.artifacts, "download_artifacts", fail)
        run = submit.new_run()
        with pytest.raises(StoreError, match="no answer"):
            submit.register(run, 20)
    assert "promote.decision" not in tags_of(run)
    submit.register(run, 20)
    assert champion_run(client) == run.run_id


@pytest.mark.usefixtures("client")
def test_version_without_a_profile_is_told_so(submit: Submitter) -> None:
    run = submit(10)
    (version,) = versions.versions_of_run(run.run_id)
    for profile in Path("mlruns").rglob("profile.json"):
        profile.unlink()
    with pytest.raises(UserError, match="Version 1 of imdb-sentiment has no profile"):
        versions.load_profile(version)
    assert tracking.model_id_of(version).startswith("m-")


@pytest.mark.usefixtures("client")
def test_store_that_fails_is_not_taken_for_a_version_without_a_profile(
    submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ClientError(Exception):
        """An error of an artifact store, which is neither MLflow's nor an OSError."""

    def fail(*_: object, **__: object) -> None:
        raise ClientError("no credentials")

    (version,) = versions.versions_of_run(submit(10).run_id)
    monkeypatch.setattr(mlflow.artifacts, "load_dict", fail)
    with pytest.raises(StoreError, match="no credentials"):
        versions.load_profile(version)
