"""A promotion tests a run against the champion, counts the test, and says what undoes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from ruamel.yaml import YAML

from sentiment.project.documents import write_table
from tests.command import Command
from tests.logged import runs
from tests.predictions import predictions

pytestmark = pytest.mark.slow
NAME = "imdb-sentiment"
FORCE = "sentiment promote --force"
PARAMS = {"units": "4", "seed": "42"}


def log_run(
    client: MlflowClient,
    correct: int,
    params: Mapping[str, str] = PARAMS,
    code: str = "0123",
    table: pd.DataFrame | None = None,
) -> str:
    """Log an evaluated run that is right about `correct` of 600 texts, and return its id."""
    run_id = str(client.create_run("1", tags={"dataset": "imdb"}).info.run_id)
    for key, value in params.items():
        client.log_param(run_id, key, value)
    client.log_metric(run_id, "test_accuracy", correct / 600)
    write_table(Path("predictions.csv"), predictions(correct) if table is None else table)
    client.log_artifact(run_id, "predictions.csv")
    lock = {"stages": {"train": {"deps": [{"path": "sentiment/model", "md5": code}]}}}
    with Path("dvc.lock").open("w", encoding="utf-8") as file:
        YAML().dump(lock, file)
    client.log_artifact(run_id, "dvc.lock")
    model = client.create_logged_model("1", "sentiment", run_id)
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.set_terminated(run_id)
    return run_id


def units(number: int) -> dict[str, str]:
    return {**PARAMS, "units": str(number)}


def champion(client: MlflowClient) -> Any:
    return client.get_model_version_by_alias(NAME, "champion")


@pytest.fixture
def first(empty_store: MlflowClient, sentiment: Command) -> str:
    """Return the id of the champion's run, which is right about 480 of 600 texts."""
    run_id = log_run(empty_store, 480)
    printed = sentiment("promote", run_id)
    assert printed.startswith(
        f"Version 1 of {NAME} is the champion now. There was none to compare it with.\n"
        "To undo this: python -c"
    )
    return run_id


def test_the_first_champion_is_undone_by_the_command_that_is_printed(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert champion(empty_store).run_id == first
    empty_store.delete_registered_model_alias(NAME, "champion")
    printed = sentiment("promote", first)
    code = printed.partition("python -c '")[2].rstrip("'\n")
    exec(code)
    assert empty_store.get_registered_model(NAME).aliases == {}


def test_a_better_run_becomes_the_champion_and_its_tags_say_why(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    better = log_run(empty_store, 540, units(8))
    printed = sentiment("promote", better[:10])
    assert "accuracy 0.9000 against 0.8000 of the champion, on the 600 texts" in printed
    assert "Better: " in printed
    assert f"To undo this: sentiment promote --force {first}" in printed
    version = champion(empty_store)
    assert version.run_id == better
    assert version.tags["promoted.by"] == "test"
    assert version.tags["promoted.against"] == "version 1"
    assert version.tags["promoted.test_number"] == "1"


@pytest.mark.parametrize(("correct", "verdict"), [(420, "Worse"), (483, "No difference is shown")])
def test_a_run_that_is_not_better_is_not_promoted_and_the_status_says_so(
    empty_store: MlflowClient, first: str, sentiment: Command, correct: int, verdict: str
) -> None:
    other = log_run(empty_store, correct, units(8))
    assert f"{verdict}: " in sentiment("promote", other, status=3)
    assert champion(empty_store).run_id == first
    assert len(empty_store.search_model_versions(f"name = '{NAME}'")) == 1


def test_tests_are_counted_for_each_run_and_metric_and_a_repeated_one_is_the_same(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert champion(empty_store).run_id == first
    a = log_run(empty_store, 481, units(8))
    b = log_run(empty_store, 482, units(16))
    for run_id, metric, number in (
        (a, "accuracy", "1st"),
        (b, "accuracy", "2nd"),
        (a, "accuracy", "1st"),
        (a, "f1", "3rd"),
    ):
        printed = sentiment("promote", run_id, "--metric", metric, status=3)
        assert f"the {number} test against this champion" in printed


def test_exploring_shows_the_difference_and_counts_nothing(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    better = log_run(empty_store, 540, units(8))
    printed = sentiment("promote", better, "--dry-run")
    assert printed.count("\n") == 1
    assert "+10.00 points, 95% interval" in printed
    assert champion(empty_store).run_id == first
    assert not [tag for tag in champion(empty_store).tags if tag.startswith("tested")]


def test_another_seed_is_refused_unless_it_is_forced_and_then_counts_nothing(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    lucky = log_run(empty_store, 540, {**PARAMS, "seed": "43"})
    assert "the luckiest one would win" in sentiment.fail("promote", lucky)
    assert champion(empty_store).run_id == first
    sentiment("promote", "--force", lucky)
    assert champion(empty_store).run_id == lucky
    assert champion(empty_store).tags["promoted.by"] == "--force"
    sentiment("promote", "--force", first)
    assert champion(empty_store).tags["promoted.by"] == "no other champion"  # as it was
    before = empty_store.get_model_version(NAME, "1")
    assert not [tag for tag in before.tags if tag.startswith("tested")]


def test_the_same_params_with_other_code_are_tested(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert champion(empty_store).run_id == first
    changed = log_run(empty_store, 540, code="4567")
    assert "Better: " in sentiment("promote", changed)


def test_texts_that_both_have_tested_are_compared_with_the_labels_of_the_candidate(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert champion(empty_store).run_id == first
    table = predictions(540).iloc[100:]
    grown = log_run(empty_store, 440, units(8), table=table)
    printed = sentiment("promote", grown, "--dry-run")
    assert "accuracy 0.8800 against 0.7600 of the champion, on the 500 texts" in printed


def test_too_few_common_texts_are_refused(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert champion(empty_store).run_id == first
    few = log_run(empty_store, 440, units(8), table=predictions(540).iloc[400:])
    printed = sentiment.fail("promote", few)
    assert "Only 200 of the champion's 600 test texts" in printed


def test_a_champion_with_labels_that_the_run_does_not_have_cannot_be_compared(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert champion(empty_store).run_id == first
    names = {"positive": "good", "negative": "bad"}
    table = predictions(400).replace({"actual": names, "predicted": names})
    columns = {f"probability_{old}": f"probability_{new}" for old, new in names.items()}
    renamed = log_run(empty_store, 400, units(8), table=table.rename(columns=columns))
    assert "it predicts negative, positive" in sentiment.fail("promote", renamed)


def test_the_champion_stays_the_champion(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert f"Version 1 of {NAME} is the champion already." in sentiment("promote", first)
    assert len(empty_store.search_model_versions(f"name = '{NAME}'")) == 1


def test_a_promotion_that_was_cut_short_is_completed_by_the_same_command(
    empty_store: MlflowClient, first: str, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert champion(empty_store).run_id == first
    better = log_run(empty_store, 540, units(8))

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for method in ("create_model_version", "set_registered_model_alias"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, method, kill)
            sentiment("promote", better, status=1)
    assert "the 1st test against this champion" in sentiment("promote", better)
    assert len(empty_store.search_model_versions(f"name = '{NAME}'")) == 2


@pytest.mark.parametrize(
    "what", ["running", "deleted", "without a model", "without predictions", "no training"]
)
def test_a_run_that_cannot_be_promoted_is_one_message(
    empty_store: MlflowClient, sentiment: Command, what: str
) -> None:
    tags = {} if what == "no training" else {"dataset": "imdb"}
    run_id = str(empty_store.create_run("1", tags=tags).info.run_id)
    if what == "deleted":
        empty_store.delete_run(run_id)
    elif what != "running":
        empty_store.set_terminated(run_id)
    if what == "without predictions":
        model = empty_store.create_logged_model("1", "sentiment", run_id)
        empty_store.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    messages = {
        "running": "is RUNNING, not FINISHED",
        "deleted": "was deleted in MLflow",
        "without a model": "has no model",
        "without predictions": "has no predictions.csv",
        "no training": "is not a training",
    }
    assert messages[what] in sentiment.fail("promote", run_id)
    assert messages[what] in sentiment.fail("promote", run_id, "--force")


@pytest.mark.usefixtures("first")
def test_a_champion_without_a_run_cannot_be_compared(
    empty_store: MlflowClient, sentiment: Command
) -> None:
    source = champion(empty_store).source
    version = empty_store.create_model_version(NAME, source, run_id="0" * 32)
    empty_store.set_registered_model_alias(NAME, "champion", version.version)
    better = log_run(empty_store, 560, units(8))
    message = f"cannot be compared: MLflow has no run of it. To promote without a test: {FORCE}"
    assert f"{message} {better}" in sentiment.fail("promote", better)
    assert f"{message} {better}" in sentiment.fail("promote", better, "--dry-run")
    assert "without a test" in sentiment("promote", better, "--force")


@pytest.mark.usefixtures("project")
def test_without_a_run_it_is_the_run_of_the_results_in_data(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentiment.tracking import results

    monkeypatch.setattr(results, "changed_outputs", lambda _: [])
    (run,) = runs()
    assert "Version 1 of synthetic-sentiment is the champion now." in sentiment("promote")
    version = MlflowClient().get_model_version_by_alias("synthetic-sentiment", "champion")
    assert version.run_id == run.info.run_id
    assert version.description == run.data.tags["mlflow.note.content"]
    monkeypatch.setattr(results, "changed_outputs", lambda _: ["data/train"])
    assert "dvc.lock describes other results" in sentiment.fail("promote")
