"""The rule or a person decides which version is the champion. Alias and tags always agree."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import mlflow
import pytest
import requests
from filelock import FileLock

from sentiment.errors import StoreError, UserError
from sentiment.params import EvaluateParams, TrainParams
from tests.evaluations import NAME, evaluation, read_version, register, submit
from tracking import champion, promotion, registry
from workflow import checkpoint, files

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


def delete_alias() -> None:
    mlflow.MlflowClient().delete_registered_model_alias(NAME, "champion")


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


def test_a_promotion_prints_the_command_that_undoes_it(capsys: pytest.CaptureFixture[str]) -> None:
    first = submit(400)
    capsys.readouterr()
    second = submit(500)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Version 2 of {NAME} is now the champion: better than the champion")
    assert lines[1] == f"To undo this: sentiment promote {first.run_id}"
    champion.promote_run(str(first.run_id))
    assert capsys.readouterr().out.splitlines() == [
        f"Version 1 of {NAME} is now the champion: promoted by a person",
        f"To undo this: sentiment promote {second.run_id}",
    ]


def test_tests_against_a_champion_are_counted_beyond_deleted_versions() -> None:
    submit(400)
    second = submit(402)
    mlflow.MlflowClient().delete_model_version(NAME, second.version)
    submit(403)
    assert "(test 2 against this champion)" in decision("3")[1]
    assert read_version("1").tags["tests"] == "2"


def test_the_rule_decides_once_about_a_version(capsys: pytest.CaptureFixture[str]) -> None:
    submit(400)
    second = submit(402)
    capsys.readouterr()
    champion.decide(second, evaluation(600), alpha=0.05)
    assert champion_number() == "1"
    assert capsys.readouterr().out == ""


def test_a_training_with_another_seed_repeats_the_champions_and_is_not_tested() -> None:
    submit(400, repetition_key="the same")
    submit(600, repetition_key="the same", train=TrainParams(seed=43))
    assert champion_number() == "1"
    assert decision("2") == ("not promoted", promotion.REPETITION)
    assert "tests" not in read_version("1").tags


def test_the_same_training_with_another_threshold_is_tested() -> None:
    submit(400, repetition_key="the same")
    submit(600, repetition_key="the same", evaluate=EvaluateParams(threshold=0.6))
    assert champion_number() == "2"


def test_a_champion_on_another_test_set_stays() -> None:
    submit(400)
    submit(600, test_set="4567")
    assert champion_number() == "1"
    assert decision("2") == ("not promoted", promotion.OTHER_TEST_SET)


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
    [(lose_artifacts, "run {} has no inputs.json"), (lose_run, "there is no run {}")],
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
    table.to_csv(Path(run.info.artifact_uri, files.PREDICTIONS_FILE.name), index=False)
    submit(600)
    assert champion_number() == "1"
    damaged = f"the evaluation of run {run.info.run_id} in MLflow is damaged"
    reason = f"the champion's evaluation cannot be read: {damaged}"
    assert decision("2") == ("not promoted", reason)


def test_a_champion_of_other_code_with_other_params_is_compared() -> None:
    """Only what versions are compared by must be in its `inputs.json`."""
    run = mlflow.get_run(str(submit(400).run_id))
    path = Path(run.info.artifact_uri, files.INPUTS)
    document = files.read_json(path)
    del document["digest"], document["inputs"]["train"]["units"]
    document["inputs"]["train"]["heads"] = 4
    document["digest"] = files.document_digest(document)
    files.write_json(path, document)
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


def test_after_the_alias_was_deleted_nothing_is_promoted_until_a_person_decides(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = submit(400)
    delete_alias()
    capsys.readouterr()
    evaluated = evaluation(300)
    second = register(evaluated)
    champion.decide(second, evaluated, alpha=0.05)
    assert registry.find_champion(NAME) is None
    assert "decision" not in read_version("2").tags
    assert f"sentiment promote {first.run_id}" in capsys.readouterr().out

    champion.promote_run(str(first.run_id))
    champion.decide(second, evaluated, alpha=0.05)
    assert champion_number() == "1"
    assert decision("2")[1].startswith("worse than the champion")


def test_a_new_first_version_is_champion_after_the_only_one_was_deleted() -> None:
    submit(400)
    mlflow.MlflowClient().delete_model_version(NAME, "1")
    submit(300)
    assert champion_number() == "2"
    assert decision("2") == ("promoted", "there was no champion before")


def test_an_alias_that_a_person_moved_in_mlflow_is_a_promotion_by_a_person() -> None:
    submit(400)
    second = submit(402)
    mlflow.MlflowClient().set_registered_model_alias(NAME, "champion", "2")
    champion.decide(second, evaluation(402), alpha=0.05)
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
    with pytest.raises(UserError, match=f"Run {'0' * 32} has no registered version"):
        champion.promote_run("0" * 32)


def end_at_write(number: int, patch: pytest.MonkeyPatch) -> None:
    """Let the n-th write of a tag or an alias of a version raise what ends the process."""
    numbers = count(1)

    def counted(write: Callable[..., object]) -> Callable[..., object]:
        def write_or_end(*arguments: Any) -> object:
            if next(numbers) == number:
                raise KeyboardInterrupt
            return write(*arguments)

        return write_or_end

    for name in ("set_model_version_tag", "set_registered_model_alias"):
        patch.setattr(mlflow.MlflowClient, name, counted(getattr(mlflow.MlflowClient, name)))


def assert_agreement() -> None:
    """Check that alias, decision and reason of all versions that have a decision agree."""
    assert decision(champion_number())[0] == "promoted"
    for version in mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'"):
        if "decision" in version.tags:
            decided, reason = decision(str(version.version))
            is_promotion = reason.startswith(("better", "there was no", "promoted by"))
            assert decided == ("promoted" if is_promotion else "not promoted")


@pytest.mark.parametrize("following", ["sync", "promote"])
@pytest.mark.parametrize(
    ("earlier", "correct", "number"),
    [
        *(([], 400, number) for number in (1, 2, 3)),
        *(([400], 500, number) for number in (1, 2, 3, 4)),
        *(([400], 300, number) for number in (1, 2, 3)),
    ],
)
def test_alias_and_tags_agree_after_the_rule_was_killed_between_two_writes(
    earlier: list[int], correct: int, number: int, following: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in earlier:
        submit(each)
    evaluated = evaluation(correct)
    version = register(evaluated)
    with monkeypatch.context() as patch:
        end_at_write(number, patch)
        with pytest.raises(KeyboardInterrupt):
            champion.decide(version, evaluated, alpha=0.05)
    if following == "sync":
        champion.decide(version, evaluated, alpha=0.05)
        assert champion_number() == ("2" if correct == 500 else "1")
        assert "promoted by a person" not in decision(str(version.version))
    else:
        champion.promote_run(str(read_version("1").run_id))
        assert champion_number() == "1"
    assert_agreement()


@pytest.mark.parametrize("following", ["sync", "promote"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_alias_and_tags_agree_after_a_promotion_by_a_person_was_killed_between_two_writes(
    number: int, following: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submit(400)
    evaluated = evaluation(300)
    second = register(evaluated)
    champion.decide(second, evaluated, alpha=0.05)
    with monkeypatch.context() as patch:
        end_at_write(number, patch)
        with pytest.raises(KeyboardInterrupt):
            champion.promote_run(str(second.run_id))
    if following == "sync":
        champion.decide(second, evaluated, alpha=0.05)
        assert champion_number() == ("1" if number == 1 else "2")
    else:
        champion.promote_run(str(first.run_id))
        assert champion_number() == "1"
    assert_agreement()


def test_without_the_champions_version_nothing_is_promoted_untested(
    capsys: pytest.CaptureFixture[str],
) -> None:
    submit(400)
    second = submit(402)
    mlflow.MlflowClient().delete_model_version(NAME, "1")
    third = submit(100)
    assert champion.DECISION not in third.tags
    printed = capsys.readouterr().out
    assert "has no champion" in printed
    assert f"(not promoted before) the champion: sentiment promote {second.run_id}" in printed
    with pytest.raises(mlflow.MlflowException):
        mlflow.MlflowClient().get_model_version_by_alias(NAME, "champion")


def test_two_processes_decide_one_after_the_other() -> None:
    evaluated = evaluation(400)
    version = register(evaluated)
    folder = Path(checkpoint.CHECKPOINTS_FOLDER)
    folder.mkdir()
    with FileLock(folder / champion.DECISION_LOCK):
        thread = Thread(target=champion.decide, args=(version, evaluated, 0.05))
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive()
        assert champion.DECISION not in read_version("1").tags
    thread.join()
    assert read_version("1").tags[champion.DECISION] == "promoted"
