"""A person can promote and demote versions, whatever the rule decided."""

import getpass

import mlflow
import pytest

from sentiment.errors import UserError
from tests.workflow.registry.submitting import NAME, Submitter, champion_run, tags_of
from workflow import files
from workflow.params import Params
from workflow.registry import champion


@pytest.fixture(autouse=True)
def imdb_params(monkeypatch: pytest.MonkeyPatch, default_params: Params) -> None:
    """Let params.yaml name IMDB."""
    monkeypatch.setattr(champion, "load_params", lambda: default_params)


def test_promotion_by_hand_overrules_the_rule_and_is_recorded(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    submit(20)
    worse = submit(10)
    change = champion.promote(worse.run_id)
    assert change.champion == "2"
    assert change.message == f"Version 2 of {NAME}, run {worse.run_id}, is now the champion."
    assert champion_run(client) == worse.run_id
    assert tags_of(worse)["promote.by"] == f"person: {getpass.getuser()}"
    assert tags_of(worse)["promote.reason"] == "promoted by hand"
    assert "already the champion" in champion.promote(worse.run_id).message


def test_demotion_gives_the_alias_back_to_the_previous_champion(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    first = submit(20)
    second = submit(10)
    champion.promote(second.run_id)
    assert champion.demote(NAME).message.endswith("version 1 is the champion again.")
    assert champion_run(client) == first.run_id
    assert tags_of(first)["promote.decision"] == "champion"
    assert tags_of(first)["promote.reason"] == "version 2 was demoted"


@pytest.mark.usefixtures("client")
def test_rule_does_not_decide_about_a_version_that_a_person_demoted(submit: Submitter) -> None:
    submit(10)
    second = submit(10)
    champion.promote(second.run_id)
    champion.demote(NAME)
    submit.register(second, 20)
    assert tags_of(second)["promote.decision"] == "demoted"


def test_promotion_is_of_the_present_evaluation_of_a_run(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    submit(20)
    run = submit.new_run()
    present = submit.register(run, 10)
    submit.register(run, 9, threshold=0.4)
    client.set_tag(run.run_id, "outputs.evaluate", files.sha256(present / files.ABOUT_FILE))
    assert "Version 2 of" in champion.promote(run.run_id).message


def test_demoted_or_deleted_version_does_not_get_the_alias_back(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    first = submit(10)
    second = submit(10)
    champion.promote(second.run_id)
    champion.promote(first.run_id)
    champion.promote(second.run_id)
    assert champion.demote(NAME).message.endswith("version 1 is the champion again.")
    assert champion.demote(NAME).message.endswith("there is no champion now.")
    submit(10)
    submit(20)
    client.delete_model_version(NAME, "3")
    assert champion.demote(NAME).champion is None
    with pytest.raises(UserError, match="There is no champion"):
        champion.demote(NAME)


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("run_id", ["0" * 32, "' OR 1 = 1"])
def test_run_without_a_version_cannot_be_promoted(run_id: str) -> None:
    with pytest.raises(UserError, match=f"Run {run_id} has no registered version"):
        champion.promote(run_id)


@pytest.mark.usefixtures("client")
def test_version_is_found_by_its_uri_or_as_champion(submit: Submitter) -> None:
    submit(10)
    submit(10)
    assert int(champion.resolve_version(None).version) == 1
    version = champion.resolve_version(f"models:/{NAME}/2")
    assert champion.model_uri_of(version) == f"models:/{NAME}/2"


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    ("model_uri", "message"),
    [
        (f"models:/{NAME}/7", f"There is no model version models:/{NAME}/7"),
        ("runs:/abc/model", "runs:/abc/model is not a model version. Use a URI such as"),
        ("s3://bucket/model", "s3://bucket/model is not a model version"),
    ],
)
def test_unknown_version_is_one_message(model_uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        champion.resolve_version(model_uri)
