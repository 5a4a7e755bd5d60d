"""`sentiment compare` compares runs of the store, logs that to a run, and refuses other runs."""

import mlflow
import pandas as pd
import pytest

from tests.conftest import Command, runs
from tests.project import MODEL
from workflow.registry import download_predictions

pytestmark = pytest.mark.slow


def champion() -> str:
    """Return the id of the champion's run."""
    version = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
    return str(version.run_id)


def log_run(predictions: pd.DataFrame, seed: int = 42, **tags: str) -> str:
    """Log an evaluated run with these predictions and the champion's params, and return its id."""
    params = mlflow.get_run(champion()).data.params
    accuracy = (predictions["actual"] == predictions["predicted"]).mean()
    mlflow.set_experiment(MODEL)
    with mlflow.start_run(run_name=f"seed {seed}", tags=tags) as run:
        mlflow.log_params(params | {"train.seed": str(seed)})
        mlflow.log_metric("test_accuracy", accuracy)
        mlflow.log_text(predictions.to_csv(index=False), "predictions.csv")
    return str(run.info.run_id)


def better(predictions: pd.DataFrame, count: int = 20) -> pd.DataFrame:
    """Return predictions that are right about some of the reviews more."""
    wrong = predictions["actual"] != predictions["predicted"]
    changed = predictions[wrong].index[:count]
    predictions = predictions.copy()
    predictions.loc[changed, "predicted"] = predictions.loc[changed, "actual"]
    return predictions


@pytest.mark.usefixtures("project")
def test_comparison_with_the_champion_is_printed_and_logged(sentiment: Command) -> None:
    other = log_run(better(download_predictions(champion())), seed=43)
    printed = sentiment("compare", "champion", other)
    (sentence,) = [line for line in printed.splitlines() if "more accurate" in line]
    assert sentence.startswith("B is more accurate: B − A is +10.00 percentage points")
    rows = [line.split() for line in printed.splitlines()]
    assert ["train.seed", "42", "43"] in rows
    (accuracy,) = [row for row in rows if row[:1] == ["test_accuracy"]]
    assert accuracy[3] == "+0.1000"
    (logged,) = runs(f"{MODEL} operations")
    assert logged.data.params == {"A": champion(), "B": other}
    assert logged.data.tags["mlflow.note.content"] == sentence
    text = mlflow.artifacts.load_text(f"{logged.info.artifact_uri}/comparison.md")
    assert sentence in text
    artifacts = mlflow.MlflowClient().list_artifacts(logged.info.run_id)
    assert {artifact.path for artifact in artifacts} == {"comparison.md", "reliability.png"}


@pytest.mark.usefixtures("project")
def test_parent_run_stands_for_its_child_runs(sentiment: Command) -> None:
    predictions = download_predictions(champion())
    mlflow.set_experiment(MODEL)
    with mlflow.start_run() as parent:
        pass
    tag = {"mlflow.parentRunId": parent.info.run_id}
    log_run(better(predictions, 20), seed=43, **tag)
    log_run(better(predictions, 30), seed=44, **tag)
    printed = sentiment("compare", champion(), parent.info.run_id)
    assert "B − A is +12.50 percentage points" in printed
    assert "t-test of 1 and 2 runs" in printed


@pytest.mark.usefixtures("project")
def test_runs_that_cannot_be_compared_are_refused(sentiment: Command) -> None:
    predictions = download_predictions(champion())
    other = log_run(predictions.assign(words=predictions["words"] + 1))
    with mlflow.start_run() as unevaluated:
        pass
    message = sentiment.fail("compare", champion(), other)
    assert "were evaluated on different test sets. Name runs of the same dataset." in message
    message = sentiment.fail("compare", "champion", unevaluated.info.run_id)
    assert f"Run {unevaluated.info.run_id} was not evaluated." in message
    assert "is named twice" in sentiment.fail("compare", "champion", champion())
    assert f"no run {'0' * 32}" in sentiment.fail("compare", "champion", "0" * 32)
    assert not runs(f"{MODEL} operations")


@pytest.mark.usefixtures("in_tmp_path")
def test_wrong_names_are_refused_before_the_store_is_used(sentiment: Command) -> None:
    assert "Name 2 to 26 runs." in sentiment("compare", "champion", status=2)
    assert "HEAD~1 is no id of a run." in sentiment("compare", "champion", "HEAD~1", status=2)
