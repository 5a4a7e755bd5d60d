"""The champion is asked by its own code, and a person's word makes and unmakes it."""

import getpass
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from sentiment.errors import UserError
from sentiment.network.model import build_model
from sentiment.padding import layout
from tests.conftest import inputs
from tests.workflow.registry.test_versions import (
    NAME,
    champion_of,
    new_run,
    submit,
    submitted,
    tags,
)
from workflow import files
from workflow.params import Params, Promote
from workflow.registry import champion, packaging
from workflow.runs import store
from workflow.runs.logger import Run

CHANGED = """

_known_words = known_words


def known_words(content, *rest):
    return _known_words("fine", *rest)
"""


def logged(parts: packaging.Parts) -> str:
    """The address of the parts' served model, logged to a new run."""
    experiment_id = store.connect()
    client = mlflow.MlflowClient()
    run = client.create_run(experiment_id)
    model_id = packaging.log_model(client, Run(run.info.run_id, "", experiment_id, ""), parts)
    return f"models:/{model_id}"


@pytest.mark.usefixtures("backend")
def test_each_model_is_asked_by_its_own_code(
    root: Path, small_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = replace(layout(small_params.pad), num_words=20)
    settings = {"layout": asdict(used), "batch_size": 4}
    model = packaging.Model(root / "model.keras", settings)
    parts = packaging.Parts([model], root / "index.json", threshold=0.5)
    build_model(small_params.train, inputs(20, small_params.pad.max_length)).save(model.path)
    files.write_json(parts.words, {"fine": 1, "dull": 2})
    ours = logged(parts)
    copies = [root / "copy" / path.relative_to(packaging.ROOT) for path in packaging.CODE]
    for path, copy in zip(packaging.CODE, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    with (root / "copy" / "sentiment" / "text.py").open("a", encoding="utf-8") as file:
        file.write(CHANGED)
    monkeypatch.setattr(packaging, "CODE", copies)
    monkeypatch.setattr(packaging, "ROOT", root / "copy")
    theirs = logged(parts)
    table = pd.DataFrame({"text": ["fine", "dull"]})
    for _ in range(2):  # in turns
        fine, dull = champion.load(ours).predict(None, table)["probability"]
        assert fine != dull
        always_fine = champion.load(theirs).predict(None, table)["probability"]
        assert always_fine.tolist() == [fine, fine]


def test_a_person_overrules_and_that_is_recorded(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
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


def test_the_only_champion_leaves_none_behind_and_a_user_without_a_name_is_recorded_by_number(
    client: mlflow.MlflowClient, rule: Promote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    run = submitted(client, 10, rule)
    assert champion.demote(NAME).message.endswith("there is no champion now.")
    assert champion_of(client) is None
    assert tags(client, run)["promote.by"] == f"person: uid {os.getuid()}"
    with pytest.raises(UserError, match="There is no champion"):
        champion.demote(NAME)


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
@pytest.mark.parametrize("run_id", ["0" * 32, "nobody", "' OR 1 = 1"])
def test_a_run_without_a_version_cannot_be_promoted(run_id: str) -> None:
    with pytest.raises(UserError, match=f"Run {run_id} has no registered version"):
        champion.promote(run_id)
