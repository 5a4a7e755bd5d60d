"""The rule or a person decides which version is the champion. Alias and tags agree."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import mlflow
import pytest
import requests

from sentiment.errors import UserError
from sentiment.params import TrainParams
from sentiment.project import paths
from sentiment.project.documents import read_json, write_json
from sentiment.tracking import champion, promotion, registry, store
from sentiment.tracking.store import StoreError
from tests.evaluations import NAME, evaluation, read_version, register, submit
from tests.tracking.kills import end_at

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_store")]


def champion_number() -> str:
    """Return the number of the version that has the alias."""
    found = registry.find_champion(NAME)
    assert found is not None
    return str(found.version)


def decision(number: str) -> tuple[str, str]:
    """Return a version's decision and reason."""
    tags = read_version(number).tags
    return tags["decision"], tags["reason"]


def test_the_first_version_is_champion_and_says_why() -> None:
    submit(400)
    assert champion_number() == "1"
    assert decision("1") == ("promoted", "there was no champion before")


@pytest.mark.parametrize(
    ("correct", "decided", "reason"),
    [
        (500, "promoted", "better than the champion: accuracy 0.8333 against 0.6667, "),
        (402, "not promoted", "no difference from the champion is shown: accuracy 0.6700 against "),
        (300, "not promoted", "worse than the champion: accuracy 0.5000 against 0.6667, "),
    ],
)
def test_a_candidate_is_promoted_only_if_it_is_better_and_its_reason_says_what_was_shown(
    correct: int, decided: str, reason: str
) -> None:
    submit(400)
    submit(correct)
    assert champion_number() == ("2" if decided == "promoted" else "1")
    assert decision("2")[0] == decided
    assert decision("2")[1].startswith(reason)


def test_a_promotion_returns_the_command_that_undoes_it() -> None:
    first = submit(400)
    evaluated = evaluation(500)
    second = register(evaluated)
    lines = champion.decide(second, evaluated, alpha=0.05).splitlines()
    assert lines[0].startswith(f"Version 2 of {NAME} is now the champion: better than the champion")
    assert lines[1] == f"To undo this: sentiment promote {first.run_id}"
    assert champion.promote_run(str(first.run_id)).splitlines() == [
        f"Version 1 of {NAME} is now the champion: promoted by a person",
        f"To undo this: sentiment promote {second.run_id}",
    ]


def test_tests_against_a_champion_are_counted_beyond_deleted_versions() -> None:
    submit(400)
    second = submit(402)
    mlflow.MlflowClient().delete_model_version(NAME, second.version)
    submit(403)
    assert "(test 2 against this champion)" in decision("3")[1]
    assert read_version("1").tags["tested_candidates"] == "2"


def test_the_rule_decides_once_about_a_version() -> None:
    submit(400)
    second = submit(402)
    decided, now = champion.decide(second, evaluation(600), alpha=0.05).splitlines()
    assert decided.startswith(f"Version 2 of {NAME} was not promoted: no difference from the ")
    assert now == "The champion is version 1"
    assert champion_number() == "1"
    assert read_version("1").tags["tested_candidates"] == "1"


def test_a_training_with_another_seed_repeats_the_champions_and_is_not_tested() -> None:
    submit(400, repetition_key="the same")
    submit(600, repetition_key="the same", train=TrainParams(seed=43))
    assert champion_number() == "1"
    assert decision("2") == ("not promoted", promotion.REPETITION)
    assert "tested_candidates" not in read_version("1").tags


def lose_artifacts() -> str:
    """Make a champion whose run has no artifacts, and return the run's id."""
    run: mlflow.entities.Run
    with mlflow.start_run() as run:
        make_champion(run.info.run_id)
    return str(run.info.run_id)


def lose_run() -> str:
    """Make a champion whose run does not exist, and return the run's id."""
    make_champion("0" * 32)
    return "0" * 32


def make_champion(run_id: str) -> None:
    client = mlflow.MlflowClient()
    client.create_registered_model(NAME)
    version = client.create_model_version(NAME, "mlruns/1/lost", run_id)
    client.set_registered_model_alias(NAME, "champion", version.version)


@pytest.mark.parametrize(
    ("lose", "problem"),
    [(lose_artifacts, "run {} has no manifest.json"), (lose_run, "there is no run {}")],
)
def test_a_champion_whose_evaluation_is_lost_stays(lose: Callable[[], str], problem: str) -> None:
    run_id = lose()
    submit(600)
    assert champion_number() == "1"
    reason = f"the champion's evaluation cannot be read: {problem.format(run_id)}"
    assert decision("2") == ("not promoted", reason)


def test_a_champion_whose_predictions_were_cut_in_the_store_stays() -> None:
    run = mlflow.get_run(str(submit(400).run_id))
    table = evaluation(400).predictions[:200]
    table.to_csv(Path(run.info.artifact_uri, paths.PREDICTIONS_FILE.name), index=False)
    submit(600)
    assert champion_number() == "1"
    assert decision("2") == ("not promoted", promotion.DAMAGED)


def test_a_champion_of_other_code_with_other_params_is_compared() -> None:
    """Only what versions are compared by must be in its `manifest.json`."""
    run = mlflow.get_run(str(submit(400).run_id))
    path = Path(run.info.artifact_uri, paths.MANIFEST_NAME)
    document = read_json(path)
    del document["training_key"], document["train"]["units"]
    document["train"]["heads"] = 4
    write_json(path, document)
    submit(600)
    assert decision("2")[0] == "promoted"


def test_a_store_that_fails_while_the_rule_decides_leaves_the_decision_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit(400)
    evaluated = evaluation(500)
    version = register(evaluated)

    def fail(**_: object) -> None:
        raise requests.ConnectionError("reset by peer")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.artifacts, "download_artifacts", fail)
        with pytest.raises(StoreError, match="reset by peer"):
            champion.decide(version, evaluated, alpha=0.05)
    assert "decision" not in read_version("2").tags
    champion.decide(version, evaluated, alpha=0.05)
    assert champion_number() == "2"


def test_after_the_alias_was_deleted_nothing_is_promoted_and_the_reason_names_the_command() -> None:
    first = submit(400)
    mlflow.MlflowClient().delete_registered_model_alias(NAME, "champion")
    submit(600)
    assert registry.find_champion(NAME) is None
    reason = (
        "no version has the alias champion. To make version 1 the champion (promoted before): "
        f"sentiment promote {first.run_id}"
    )
    assert decision("2") == ("not promoted", reason)


def test_after_the_champion_was_deleted_the_reason_names_the_newest_version() -> None:
    submit(400)
    second = submit(402)
    mlflow.MlflowClient().delete_model_version(NAME, "1")
    submit(600)
    assert registry.find_champion(NAME) is None
    assert decision("3")[1].endswith(
        f"To make version 2 the champion (not promoted before): sentiment promote {second.run_id}"
    )


def test_a_new_first_version_is_champion_after_the_only_one_was_deleted() -> None:
    submit(400)
    mlflow.MlflowClient().delete_model_version(NAME, "1")
    submit(300)
    assert champion_number() == "2"
    assert decision("2") == ("promoted", "there was no champion before")


def test_an_alias_that_a_person_set_in_mlflow_before_the_decision_is_a_promotion() -> None:
    submit(400)
    evaluated = evaluation(402)
    second = register(evaluated)
    mlflow.MlflowClient().set_registered_model_alias(NAME, "champion", "2")
    champion.decide(second, evaluated, alpha=0.05)
    assert champion_number() == "2"
    assert decision("2") == ("promoted", "promoted by a person")


def test_a_person_promotes_a_version_that_the_rule_did_not_promote() -> None:
    submit(400)
    second = submit(402)
    champion.promote_run(str(second.run_id))
    assert champion_number() == "2"
    assert decision("2") == ("promoted", "promoted by a person")


def test_a_deleted_run_cannot_be_promoted() -> None:
    first = submit(400)
    mlflow.delete_run(str(first.run_id))
    with pytest.raises(UserError, match=f"mlflow runs restore --run-id {first.run_id}"):
        champion.promote_run(str(first.run_id))


def test_a_run_without_a_version_cannot_be_promoted() -> None:
    with pytest.raises(UserError, match=f"No version is registered of a run {'0' * 32}"):
        champion.promote_run("0" * 32)


@pytest.mark.parametrize(
    ("correct", "last_write", "champion_after", "reason"),
    [
        (500, ("set_model_version_tag", "tested_candidates"), "2", "better than the champion"),
        (500, ("set_model_version_tag", "reason"), "2", "better than the champion"),
        (500, ("set_registered_model_alias", "champion"), "2", "better than the champion"),
        (300, ("set_model_version_tag", "reason"), "1", "worse than the champion"),
    ],
)
def test_a_decision_that_was_killed_between_two_writes_is_made_again(
    correct: int,
    last_write: tuple[str, str],
    champion_after: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit(400)
    evaluated = evaluation(correct)
    version = register(evaluated)
    with monkeypatch.context() as patch:
        end_at(patch, *last_write, after=True)
        with pytest.raises(KeyboardInterrupt):
            champion.decide(version, evaluated, alpha=0.05)
    assert "decision" not in read_version("2").tags
    champion.decide(read_version("2"), evaluated, alpha=0.05)
    assert champion_number() == champion_after
    assert decision("2")[0] == ("promoted" if champion_after == "2" else "not promoted")
    assert decision("2")[1].startswith(reason)


def test_two_processes_decide_one_after_the_other() -> None:
    evaluated = evaluation(400)
    version = register(evaluated)
    with store.exclusive():
        thread = Thread(target=champion.decide, args=(version, evaluated, 0.05))
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive()
        assert "decision" not in read_version("1").tags
    thread.join()
    assert read_version("1").tags["decision"] == "promoted"
