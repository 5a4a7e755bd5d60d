"""Each evaluated model is a version, which the rule makes champion or says why it does not."""

import shutil
import tempfile
import threading
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from workflow import files
from workflow.files import TEST_DATA
from workflow.params import Promote
from workflow.registry import packaging
from workflow.registry import versions as registry
from workflow.runs import store
from workflow.runs.logger import Run, RunLogger

DIGEST, NAME = "abc", "imdb-sentiment"


def write_evaluation(folder: Path, right: int, of: int = 20, **params: object) -> Path:
    """A folder as `evaluate` writes one, with so many right answers."""
    folder.mkdir(parents=True)
    predicted = np.repeat(["positive", "negative"], [right, of - right])
    answers = {"actual": "positive", "predicted": predicted, "probability": 0.95}
    table = pd.DataFrame({"review": range(of), **answers})
    table.to_csv(folder / "predictions.csv", index=False)
    files.write_json(folder / "metrics.json", {"dataset": "imdb"})
    files.write_about(folder, {TEST_DATA: DIGEST, "evaluate.calibration_bins": 10, **params})
    return folder


def new_run(client: mlflow.MlflowClient) -> Run:
    experiment = store.connect()
    return Run(client.create_run(experiment).info.run_id, "lstm", experiment, "")


def submit(run: Run, right: int, rule: Promote, threshold: float = 0.5) -> Path:
    """Register a run's model with so many right answers, and let the rule decide."""
    folder = write_evaluation(Path(f"data-{run.run_id}-{threshold}-{right}") / "evaluate", right)
    model = folder.parent / "file"
    model.write_text(run.run_id, encoding="utf-8")
    parts = packaging.Parts([packaging.Model(model, {})], model, threshold)
    log = RunLogger(run, 0)
    said = {"dataset": "imdb", "test_accuracy": str(right / 20)}
    registry.register(log, registry.Served(parts, said, rule), folder, {"words": right})
    assert not log.lost
    return folder


def submitted(client: mlflow.MlflowClient, right: int, rule: Promote) -> Run:
    run = new_run(client)
    submit(run, right, rule)
    return run


def champion_of(client: mlflow.MlflowClient) -> str | None:
    version = registry.champion(client, NAME)
    return version.run_id if version else None


def tags(client: mlflow.MlflowClient, run: Run) -> dict[str, str]:
    return dict(registry.versions(client, run.run_id)[0].tags)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("imdb", "imdb-sentiment"),
        ("Kritiken für Bücher.2024.jsonl.gz", "Kritiken-für-Bücher-2024-sentiment"),
        ("imdb.csv", "imdb-table-sentiment"),
        ("imdb+answers", "imdb-answers-sentiment"),
        ("imdb+!", "imdb-table-sentiment"),
    ],
)
def test_each_data_set_has_a_registered_model(dataset: str, name: str) -> None:
    assert registry.model_name(dataset) == name


def test_the_alias_moves_by_the_rule_and_the_version_says_why(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    assert champion_of(client) is None
    first = submitted(client, 10, rule)
    assert champion_of(client) == first.run_id
    same = submitted(client, 10, rule)
    assert champion_of(client) == first.run_id
    assert tags(client, same)["promote.decision"] == "not promoted"
    assert "not shown to be better" in tags(client, same)["promote.reason"]
    better = submitted(client, 20, rule)
    assert champion_of(client) == better.run_id
    said = tags(client, better)
    assert said["promote.decision"] == "champion"
    assert said["promote.by"] == "rule"
    assert said["promote.reason"].startswith("better than the champion")
    assert said["promote.replaced"] == "1"
    assert said["test_accuracy"] == "1.0"


def test_candidates_tested_against_one_champion_are_counted(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    submitted(client, 10, rule)
    strict = rule.model_copy(update={"calibration_margin": -1.0})  # kept by none
    untested = submitted(client, 11, strict)
    assert "promote.candidate" not in tags(client, untested)
    first, second = submitted(client, 11, rule), submitted(client, 12, rule)
    assert tags(client, first)["promote.candidate"] == "1"
    assert tags(client, first)["promote.against"] == "1"
    assert "as candidate 2 against it" in tags(client, second)["promote.reason"]
    submit(first, 13, rule)  # evaluated anew, it stays the first one
    assert "as candidate 1 against it" in tags(client, first)["promote.reason"]
    client.delete_model_version(NAME, "3")
    assert tags(client, submitted(client, 20, rule))["promote.candidate"] == "3"
    assert tags(client, submitted(client, 20, rule))["promote.candidate"] == "1"


def test_the_same_model_is_the_same_version_and_another_one_of_its_run_is_held_against_it(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    run = submitted(client, 10, rule)
    submit(run, 11, rule)
    (version,) = registry.versions(client, run.run_id)
    assert version.tags["test_accuracy"] == "0.55"
    submit(run, 20, rule, threshold=0.4)
    newest, oldest = registry.versions(client, run.run_id)
    assert oldest.tags["promote.reason"] == "there was no champion"
    assert registry.profile_of(newest) == {"words": 20}
    assert registry.profile_of(oldest) == {"words": 11}
    assert "+9 of 20 reviews" in newest.tags["promote.reason"]
    assert newest.tags["promote.replaced"] == "1"
    champion = registry.champion(client, NAME)
    assert champion is not None
    assert champion.version == newest.version


def test_two_promotions_at_once_leave_the_better_one(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    """Each is better than nothing; whichever is second is held against the first."""
    runs = {right: new_run(client) for right in (10, 20)}
    threads = [
        threading.Thread(target=submit, args=(run, right, rule)) for right, run in runs.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert champion_of(client) == runs[20].run_id
    assert len(client.search_model_versions("")) == 2


@pytest.mark.parametrize("loss", ["another", "removed"])
def test_a_champion_whose_evaluation_is_lost_stays_and_holds_nobody_up(
    client: mlflow.MlflowClient, rule: Promote, loss: str
) -> None:
    first = submitted(client, 10, rule)
    stored = Path("mlruns", first.experiment_id, first.run_id, "artifacts", "versions", "1")
    shutil.rmtree(stored)
    if loss == "another":  # whole in itself, but not what the version was decided by
        write_evaluation(stored, 5)
    second = submitted(client, 20, rule)
    reason = tags(client, second)["promote.reason"]
    assert reason.startswith("the champion's evaluation cannot be read: ")
    assert tempfile.gettempdir() not in reason
    assert champion_of(client) == first.run_id
