"""A user changes params, and runs experiments."""

from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from tests import names
from tests.command_log import CommandLog
from tests.logged import curve, runs
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow


def executed(printed: str) -> list[str]:
    """Return the stages that DVC ran."""
    lines = [line for line in printed.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


def test_other_params_and_other_code_rerun_what_depends_on_them(
    pipeline_once: CommandLog, experiments: CommandLog
) -> None:
    assert executed(experiments.printed["exp run"]) == ["train", "evaluate"]
    assert experiments.digests["exp apply"] != pipeline_once.digests["repro"]


def test_earlier_params_restore_their_result_without_training(
    pipeline_once: CommandLog, experiments: CommandLog
) -> None:
    assert " 1/2 " not in experiments.printed["repro of four"]
    assert experiments.digests["repro of four"] == pipeline_once.digests["repro"]


def artifacts(run: Run, path: str = "") -> set[str]:
    """Return the names of all files among a run's artifacts."""
    found: set[str] = set()
    for entry in mlflow.MlflowClient().list_artifacts(run.info.run_id, path):
        found |= artifacts(run, entry.path) if entry.is_dir else {Path(entry.path).name}
    return found


def assert_whole(run: Run) -> None:
    """Check that a run has everything about its training and its evaluation, once."""
    assert run.info.status == "FINISHED"
    for metric in ("accuracy", "loss", "val_accuracy", "val_loss"):
        assert [step for step, _ in curve(run.info.run_id, metric)] == [1, 2], metric
    assert 0 <= run.data.metrics["test_accuracy"] <= 1
    files = {"params.yaml", "dvc.lock", "history.csv", "predictions.csv", "accuracy.png", "roc.csv"}
    assert files <= artifacts(run)
    client = mlflow.MlflowClient()
    models = client.search_logged_models([run.info.experiment_id])
    own = [model for model in models if model.source_run_id == run.info.run_id]
    assert [(model.name, str(model.status)) for model in own] == [("sentiment", "READY")]
    assert len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) == 0


@pytest.mark.usefixtures("experiments")
def test_each_training_is_one_whole_run() -> None:
    assert [run.data.params["units"] for run in runs()] == ["6", "4"]
    for run in runs():
        assert_whole(run)


def test_the_run_of_an_experiment_has_its_name_and_its_baseline(experiments: CommandLog) -> None:
    six, four = runs()
    baseline = experiments.project.read("git", "rev-parse", "HEAD").strip()
    assert six.data.tags["dvc.experiment"] == "six"
    assert six.data.tags["dvc.baseline"] == baseline
    assert not [tag for tag in four.data.tags if tag.startswith("dvc.")]


def test_a_clone_without_results_has_the_views_of_dvc(fresh: ProjectCopy) -> None:
    assert not (fresh.path / "dvc.lock").exists()
    assert "workspace" in fresh.run("dvc", "exp", "show", "--no-pager", COLUMNS="3000")
    fresh.run("dvc", "metrics", "diff")


def test_an_applied_experiment_is_up_to_date_and_has_its_run(experiments: CommandLog) -> None:
    assert "Data and pipelines are up to date." in experiments.printed["repro of six"]
    (run,) = (run for run in runs() if run.data.params["units"] == "6")
    metrics = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/{names.METRICS_ARTIFACT}")
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"]
