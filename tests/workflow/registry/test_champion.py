"""A person's word makes and unmakes the champion."""

import getpass

import mlflow
import pytest

from sentiment.errors import UserError
from tests.workflow.registry.test_versions import (
    NAME,
    champion_of,
    new_run,
    submit,
    submitted,
    tags,
)
from workflow import files
from workflow.params import Promote
from workflow.registry import champion


def test_a_person_overrules_and_it_is_recorded(client: mlflow.MlflowClient, rule: Promote) -> None:
    first, worse = submitted(client, 20, rule), submitted(client, 10, rule)
    assert "is champion now" in champion.promote(worse.run_id).message
    assert champion_of(client) == worse.run_id
    assert tags(client, worse)["promote.by"] == f"person: {getpass.getuser()}"
    assert tags(client, worse)["promote.reason"] == "promoted by hand"
    assert "champion already" in champion.promote(worse.run_id).message
    assert champion.demote(NAME).message.endswith("version 1 is champion again.")
    assert champion_of(client) == first.run_id
    assert tags(client, first)["promote.decision"] == "champion"
    assert tags(client, first)["promote.reason"] == "version 2 was demoted"
    submit(worse, 20, rule)
    assert tags(client, worse)["promote.decision"] == "demoted"


def test_a_person_s_word_is_about_the_run_s_present_evaluation(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    other = submitted(client, 20, rule)
    run = new_run(client)
    present = submit(run, 10, rule)
    submit(run, 9, rule, threshold=0.4)
    client.set_tag(run.run_id, "outputs.evaluate", files.sha256(present / files.ABOUT))
    assert "Version 2 of" in champion.promote(run.run_id).message
    assert champion_of(client) != other.run_id


def test_who_was_demoted_or_deleted_does_not_come_back(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    first, second = submitted(client, 10, rule), submitted(client, 10, rule)
    champion.promote(second.run_id)
    champion.promote(first.run_id)
    champion.promote(second.run_id)
    assert champion.demote(NAME).message.endswith("version 1 is champion again.")
    assert champion.demote(NAME).message.endswith("there is no champion now.")
    assert champion_of(client) is None
    submitted(client, 10, rule)
    submitted(client, 20, rule)
    client.delete_model_version(NAME, "3")
    assert champion.demote(NAME).message.endswith("there is no champion now.")
    with pytest.raises(UserError, match="There is no champion"):
        champion.demote(NAME)


def test_a_candidate_keeps_its_number_when_a_former_champion_comes_back(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    submitted(client, 10, rule)
    first, second = submitted(client, 10, rule), submitted(client, 10, rule)
    champion.promote(second.run_id)
    submit(first, 9, rule)
    assert tags(client, first)["promote.against"] == "3"
    assert tags(client, first)["promote.candidate"] == "1"
    champion.demote(NAME)
    submit(first, 8, rule)
    assert tags(client, first)["promote.against"] == "1"
    assert tags(client, first)["promote.candidate"] == "1"
    assert tags(client, submitted(client, 10, rule))["promote.candidate"] == "3"


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("run_id", ["0" * 32, "' OR 1 = 1"])
def test_a_run_without_a_version_cannot_be_promoted(run_id: str) -> None:
    with pytest.raises(UserError, match=f"Run {run_id} has no registered version"):
        champion.promote(run_id)
