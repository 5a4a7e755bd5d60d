"""`sentiment compare` compares runs of the store, which it only reads, and refuses others."""

import mlflow
import pandas as pd
import pytest

from tests.conftest import Command, runs
from tests.project import MODEL, Project
from workflow import files
from workflow.versions import download_evaluation

pytestmark = pytest.mark.slow


def champion() -> str:
    """Return the id of the champion's run."""
    version = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
    return str(version.run_id)


def read_predictions() -> pd.DataFrame:
    """Return the champion's predictions."""
    return download_evaluation(champion()).predictions


def log_run(
    predictions: pd.DataFrame, seed: int = 42, test_set: str | None = None, **tags: str
) -> str:
    """Log an evaluated run with these predictions and the champion's params, and return its id.

    Args:
        predictions: its predictions.
        seed: its seed.
        test_set: the digest of another test set than the champion's.
        tags: its tags.
    """
    params = mlflow.get_run(champion()).data.params
    inputs = download_evaluation(champion()).inputs
    changed = inputs.model_copy(update={"test_set": test_set or inputs.test_set})
    folder = files.new_folder(files.EVALUATE)
    predictions.to_csv(folder / files.PREDICTIONS_FILE.name, index=False)
    files.write_inputs(folder, changed)  # type: ignore[arg-type]
    mlflow.set_experiment(MODEL)
    with mlflow.start_run(run_name=f"seed {seed}", tags=tags) as run:
        mlflow.log_params(params | {"train.seed": str(seed)})
        mlflow.log_metric(
            "test_accuracy", (predictions["actual"] == predictions["predicted"]).mean()
        )
        mlflow.log_artifacts(str(folder))
    return str(run.info.run_id)


def better(predictions: pd.DataFrame, count: int = 20) -> pd.DataFrame:
    """Return predictions that are right about some of the reviews more."""
    wrong = predictions["actual"] != predictions["predicted"]
    changed = predictions[wrong].index[:count]
    predictions = predictions.copy()
    predictions.loc[changed, "predicted"] = predictions.loc[changed, "actual"]
    return predictions


@pytest.mark.usefixtures("project")
def test_comparison_with_the_champion_is_printed(sentiment: Command) -> None:
    other = log_run(better(read_predictions()), seed=43)
    printed = sentiment("compare", "champion", other)
    (sentence,) = [line for line in printed.splitlines() if "more accurate" in line]
    assert sentence.startswith("B is more accurate: B − A is +10.00 percentage points")
    rows = [line.split() for line in printed.splitlines()]
    assert ["train.seed", "42", "43"] in rows
    (accuracy,) = [row for row in rows if row[:1] == ["test_accuracy"]]
    assert accuracy[3] == "+0.1000"


def test_comparison_only_reads_the_store(project: Project, sentiment: Command) -> None:
    other = log_run(better(read_predictions()))
    lock = project.path / "mlflow.db.lock"  # who writes to the store's experiments takes it
    lock.unlink()
    before = project.contents("mlruns")
    sentiment("compare", "champion", other)
    assert not lock.exists()
    assert not runs(f"{MODEL} operations")
    assert project.contents("mlruns") == before


@pytest.mark.usefixtures("project")
def test_parent_run_stands_for_its_child_runs(sentiment: Command) -> None:
    predictions = read_predictions()
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
    other = log_run(read_predictions(), test_set="another")
    with mlflow.start_run() as unevaluated:
        pass
    message = sentiment.fail("compare", champion(), other)
    assert "were evaluated on different test sets. Name runs of the same dataset." in message
    message = sentiment.fail("compare", "champion", unevaluated.info.run_id)
    assert f"Run {unevaluated.info.run_id} was not evaluated." in message
    assert "is named twice" in sentiment.fail("compare", "champion", champion())
    assert f"no run {'0' * 32}" in sentiment.fail("compare", "champion", "0" * 32)


@pytest.mark.usefixtures("in_tmp_path")
def test_wrong_names_are_refused_before_the_store_is_used(sentiment: Command) -> None:
    assert "Name 2 to 26 runs." in sentiment("compare", "champion", status=2)
    assert "HEAD~1 is no id of a run." in sentiment("compare", "champion", "HEAD~1", status=2)
