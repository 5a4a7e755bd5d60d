"""A promotion compares a run with the champion, and says what it did and what undoes it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus

from sentiment.project.files.documents import write_table
from tests.command import Command
from tests.logged import runs
from tests.predictions import predictions

pytestmark = pytest.mark.slow
NAME = "imdb-sentiment"
FORCE = "sentiment promote --force"
DIGEST = "0123"  # of the test set


def log_run(
    client: MlflowClient, correct: int, table: pd.DataFrame | None = None, digest: str = DIGEST
) -> str:
    """Log an evaluated run that is right about `correct` of 600 texts, and return its id."""
    tags = {"dataset": "imdb", "test_set_digest": digest}
    run_id = str(client.create_run("1", tags=tags).info.run_id)
    client.log_metric(run_id, "test_accuracy", correct / 600)
    write_table(Path("predictions.csv"), predictions(correct) if table is None else table)
    client.log_artifact(run_id, "predictions.csv")
    model = client.create_logged_model("1", "sentiment", run_id)
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.set_terminated(run_id)
    return run_id


def champion(client: MlflowClient) -> Any:
    return client.get_model_version_by_alias(NAME, "champion")


def aliases(client: MlflowClient) -> dict[str, str]:
    named = client.get_registered_model(NAME).aliases
    return {alias: str(version) for alias, version in named.items()}


@pytest.fixture
def first(empty_store: MlflowClient, sentiment: Command) -> str:
    """Return the id of the champion's run, which is right about 480 of 600 texts."""
    run_id = log_run(empty_store, 480)
    printed = sentiment("promote", run_id)
    assert printed.splitlines()[1:] == [
        f"Version 1 of {NAME} is the champion now.",
        "To undo this: `sentiment promote --undo`",
    ]
    return run_id


def test_a_better_run_becomes_the_champion_and_says_why_and_what_undoes_it(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    better = log_run(empty_store, 540)
    values, difference, verdict, evaluated, did, undo = sentiment("promote", better[:10]).split(
        "\n"
    )[:6]
    assert values.startswith("accuracy 0.9000, champion (version 1) 0.8000, on the 600 texts")
    assert difference.startswith("+10.00 points of accuracy, 95% interval +")
    assert verdict.startswith("Better: the 99% interval, ")
    assert evaluated.endswith(": 2")
    assert did == f"Version 2 of {NAME} is the champion now."
    assert undo == "To undo this: `sentiment promote --undo`"
    version = champion(empty_store)
    assert version.run_id == better != first
    assert version.tags["promoted.before"] == "1"
    assert version.tags["promoted.reason"].startswith("accuracy 0.9000, champion (version 1) 0.8")


@pytest.mark.parametrize(("correct", "verdict"), [(420, "Worse"), (483, "Not shown to be better")])
def test_a_run_that_is_not_better_is_not_promoted_and_the_status_says_so(
    empty_store: MlflowClient, first: str, sentiment: Command, correct: int, verdict: str
) -> None:
    other = log_run(empty_store, correct)
    printed = sentiment("promote", other, status=3)
    assert f"{verdict}: the 99% interval, " in printed
    assert "If the data are better" not in printed
    assert champion(empty_store).run_id == first
    assert aliases(empty_store) == {"champion": "1"}
    assert len(empty_store.search_model_versions(f"name = '{NAME}'")) == 1


def test_a_run_with_the_same_predictions_is_the_same_model(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    same = log_run(empty_store, 480)
    assert "The same model: " in sentiment("promote", same, status=3)
    assert champion(empty_store).run_id == first


@pytest.mark.usefixtures("first")
def test_f1_is_compared_instead(empty_store: MlflowClient, sentiment: Command) -> None:
    better = log_run(empty_store, 540)
    assert "F1 0.9000, champion (version 1) 0.8000" in sentiment("promote", better, "--metric=f1")


@pytest.mark.parametrize(
    ("correct", "said", "status"), [(540, "would be the champion", 0), (481, "stays", 3)]
)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    empty_store: MlflowClient, first: str, sentiment: Command, correct: int, said: str, status: int
) -> None:
    printed = sentiment("promote", log_run(empty_store, correct), "--dry-run", status=status)
    assert said in printed.splitlines()[-1]
    assert aliases(empty_store) == {"champion": "1"}
    assert "is the champion already" in sentiment("promote", first, "--dry-run")


@pytest.mark.usefixtures("first", "params")
def test_a_promotion_by_force_compares_nothing_and_is_undone(
    empty_store: MlflowClient, sentiment: Command
) -> None:
    worse = log_run(empty_store, 420)
    assert "--force" in sentiment("promote", "--force", worse)
    assert champion(empty_store).run_id == worse
    assert champion(empty_store).tags["promoted.reason"] == "--force"
    assert f"Version 1 of {NAME} is the champion again." in sentiment("promote", "--undo")
    assert aliases(empty_store) == {"champion": "1"}
    assert f"{NAME} has no champion now" in sentiment("promote", "--undo")
    assert aliases(empty_store) == {}
    assert "There is no promotion" in sentiment.fail("promote", "--undo")


@pytest.mark.usefixtures("first", "params")
def test_a_version_that_returns_and_is_undone_leaves_the_version_before_it(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    sentiment("promote", log_run(empty_store, 540))
    sentiment("promote", "--force", first)
    sentiment("promote", "--undo")
    assert aliases(empty_store) == {"champion": "2"}
    sentiment("promote", "--undo")
    assert aliases(empty_store) == {"champion": "1"}
    assert "There is no promotion" in sentiment.fail("promote", "--undo")  # 1 returned from 2


@pytest.mark.usefixtures("first")
def test_an_undo_of_a_named_run_is_refused(sentiment: Command, first: str) -> None:
    assert "--undo takes neither" in sentiment("promote", "--undo", first, status=2)


def test_texts_that_both_have_are_compared_by_the_labels_of_the_run(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    table = predictions(483).iloc[100:]
    label = "negative" if table["actual"].iloc[0] == "positive" else "positive"
    corrected = table.assign(actual=[label, *table["actual"].iloc[1:]])
    grown = log_run(empty_store, 440, table=corrected, digest="4567")
    printed = sentiment("promote", grown, status=3)
    assert "champion (version 1) 0.7580, on the 500 texts" in printed
    assert "1 of these texts have another label" in printed
    assert "evaluated on this test set: 1" in printed
    assert f"If the data are better now, promote it all the same: `{FORCE} {grown[:8]}`" in printed
    assert champion(empty_store).run_id == first


def test_too_few_common_texts_are_refused(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert champion(empty_store).run_id == first
    few = log_run(empty_store, 440, predictions(540).iloc[400:])
    printed = sentiment.fail("promote", few)
    assert "only 200 of its 600 test texts" in printed


def test_a_champion_with_labels_that_the_run_does_not_have_cannot_be_compared(
    empty_store: MlflowClient, first: str, sentiment: Command
) -> None:
    assert champion(empty_store).run_id == first
    names = {"positive": "good", "negative": "bad"}
    table = predictions(400).replace({"actual": names, "predicted": names})
    columns = {f"probability_{old}": f"probability_{new}" for old, new in names.items()}
    renamed = log_run(empty_store, 400, table.rename(columns=columns))
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
    better = log_run(empty_store, 540)

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    writes = ("create_model_version", "set_model_version_tag", "set_registered_model_alias")
    for method in writes:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, method, kill)
            sentiment("promote", better, status=1)
        assert champion(empty_store).run_id == first
    sentiment("promote", better)
    assert champion(empty_store).tags["promoted.before"] == "1"
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
    better = log_run(empty_store, 560)
    message = (
        f"cannot be compared: MLflow has no run of it. To promote the run all the same: `{FORCE}"
    )
    assert f"{message} {better[:8]}`" in sentiment.fail("promote", better)
    assert f"{message} {better[:8]}`" in sentiment.fail("promote", better, "--dry-run")
    sentiment("promote", better, "--force")
    assert champion(empty_store).run_id == better


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
