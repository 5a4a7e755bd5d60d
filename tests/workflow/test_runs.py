"""What a run has, and how what is missing in MLflow comes back from the files."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run

from sentiment.errors import StoreError
from tests.conftest import Command, curve, run_stages, runs, use_store
from tests.project import MODEL, SMALL, Project, free_port
from workflow import checkpoint, files
from workflow import runs as workflow_runs
from workflow.runs import KERAS_MODEL, STATE
from workflow.sync import sync_run

pytestmark = pytest.mark.slow
CURVES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")


def provenance_tags(run: Run) -> dict[str, str]:
    """Return the tags that only the training itself knows."""
    names = ("git.commit", "processor", "tensorflow", "keras", "implementation")
    return {name: run.data.tags[name] for name in names}


def timed_curve(run: Run, name: str) -> list[tuple[int, float, int]]:
    """Return step, value and time in milliseconds of each point of a metric."""
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [(point.step, point.value, point.timestamp) for point in points]


def snapshot(run: Run) -> dict[str, object]:
    """Return what should not change when a run is logged again."""
    info = run.info
    gradients = (workflow_runs.INITIAL_GRADIENT_NORM, workflow_runs.GRADIENT_NORM)
    points = {name: curve(info.run_id, name) for name in (*CURVES, *gradients)}
    return {"info": dict(info), "data": run.data.to_dictionary(), "points": points}


def logged_models(run: Run) -> list[str]:
    """Return the names of a run's logged models whose files are there."""
    client = mlflow.MlflowClient()
    found = client.search_logged_models([run.info.experiment_id])
    return sorted(
        str(model.name)
        for model in found
        if model.source_run_id == run.info.run_id
        and client.list_logged_model_artifacts(model.model_id)
    )


def versions() -> list[str]:
    found = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")
    return sorted(str(version.version) for version in found)


def champion_run() -> str:
    return str(mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion").run_id)


@pytest.mark.usefixtures("finished")
def test_a_run_has_the_params_that_its_training_reads() -> None:
    (run,) = runs()
    params = run.data.params
    assert params["train.units"] == "4"
    assert params["fetch.synthetic.cue_distance"] == "25"
    assert params["evaluate.threshold"] == "0.5"
    assert not [name for name in params if name.startswith(("train.linear", "fetch.table"))]
    sections = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/params.yaml")
    assert "units: 4" in sections


@pytest.mark.usefixtures("finished")
def test_a_run_has_few_tags_that_say_where_it_comes_from() -> None:
    (run,) = runs()
    own = {name for name in run.data.tags if not name.startswith("mlflow.")}
    assert own == {
        "training.id",
        "training.key",
        "state",
        "implementation",
        "git.commit",
        "processor",
        "tensorflow",
        "keras",
        "decision",
        "reason",
    }
    assert run.data.tags["mlflow.note.content"]
    assert run.data.tags["mlflow.source.name"] == "stages/train.py"


@pytest.mark.usefixtures("finished")
def test_curves_have_a_point_for_each_epoch_and_no_more() -> None:
    (run,) = runs()
    for name in CURVES:
        assert [step for step, _ in curve(run.info.run_id, name)] == [1, 2], name
    distances = [step for step, _ in curve(run.info.run_id, workflow_runs.GRADIENT_NORM)]
    assert distances == list(range(len(distances)))


@pytest.mark.usefixtures("project")
def test_to_sync_a_complete_run_changes_nothing(sentiment: Command) -> None:
    (before,) = runs()
    expected = snapshot(before)
    for _ in range(2):
        sentiment("sync")
    (after,) = runs()
    assert snapshot(after) == expected
    assert versions() == ["1"]
    assert list(Path(checkpoint.FOLDER).glob("*/")) == []


def test_lost_artifacts_are_logged_again_in_the_same_run(
    project: Project, sentiment: Command
) -> None:
    (before,) = runs()
    expected = snapshot(before)
    folder = project.path / "mlruns" / before.info.experiment_id / before.info.run_id
    artifacts = {path.relative_to(folder) for path in folder.rglob("*")}
    shutil.rmtree(folder)
    assert "logged again" in sentiment("sync")
    assert {path.relative_to(folder) for path in folder.rglob("*")} == artifacts
    (after,) = runs()
    assert snapshot(after) == expected


@pytest.mark.usefixtures("project")
def test_lost_files_of_models_are_logged_again(sentiment: Command) -> None:
    (before,) = runs()
    expected = snapshot(before)
    shutil.rmtree("mlruns")
    sentiment("sync")
    assert "positive" in sentiment("predict", "A fine plot.")
    (after,) = runs()
    assert logged_models(after) == ["model", "sentiment"]
    assert snapshot(after)["info"] == expected["info"]
    assert snapshot(after)["points"] == expected["points"]


@pytest.mark.usefixtures("project")
def test_metrics_of_newer_code_reach_the_same_run(sentiment: Command) -> None:
    metrics = files.read_json(files.TEST_METRICS_FILE)
    files.write_json(files.TEST_METRICS_FILE, {**metrics, "test_kappa": 0.5})
    sentiment("sync")
    (run,) = runs()
    assert run.data.metrics["test_kappa"] == 0.5


def test_files_of_different_trainings_are_not_logged_together(
    project: Project, sentiment: Command
) -> None:
    project.change(pad={"max_length": 9})
    run_stages(project, "pad")
    assert "data/train was not made from the present data/pad" in sentiment.fail("sync")
    project.change(pad={"max_length": SMALL["pad"]["max_length"]})
    run_stages(project, "pad")
    compared = files.compared_metrics_file(files.EVALUATE)
    metrics = files.read_json(compared)
    files.write_json(compared, {**metrics, "test_accuracy": 0.123})
    assert "metrics/evaluate.json was not made with" in sentiment.fail("sync")
    files.write_json(compared, metrics)
    history = pd.read_csv(files.HISTORY_FILE)
    history.assign(val_loss=0.1).to_csv(files.HISTORY_FILE, index=False)
    assert "metrics/history.csv was not made with" in sentiment.fail("sync")
    assert len(runs()) == 1


@pytest.mark.usefixtures("project")
def test_a_lost_version_is_registered_again_with_its_decision(sentiment: Command) -> None:
    (before,) = runs()
    mlflow.MlflowClient().delete_registered_model(MODEL)
    sentiment("sync")
    assert champion_run() == before.info.run_id
    version = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
    assert version.tags["reason"] == "there was no other champion, with only 200 test texts"
    assert "positive" in sentiment("predict", "A fine plot.")
    (after,) = runs()
    assert after.info.end_time == before.info.end_time


@pytest.mark.usefixtures("project")
def test_a_lost_keras_model_is_logged_again(sentiment: Command) -> None:
    (run,) = runs()
    client = mlflow.MlflowClient()
    for model in client.search_logged_models([run.info.experiment_id]):
        if model.name == KERAS_MODEL:
            client.delete_logged_model(model.model_id)
    sentiment("sync")
    assert logged_models(run) == ["model", "sentiment"]
    (after,) = runs()
    assert snapshot(after)["points"] == snapshot(run)["points"]
    assert after.data.tags == run.data.tags


@pytest.mark.usefixtures("project")
def test_a_deleted_run_is_made_again(sentiment: Command) -> None:
    (deleted,) = runs()
    mlflow.MlflowClient().delete_run(deleted.info.run_id)
    sentiment("sync")
    (run,) = runs()
    assert run.info.run_id != deleted.info.run_id
    assert run.data.params == deleted.data.params
    assert run.data.metrics["test_accuracy"] == deleted.data.metrics["test_accuracy"]
    assert provenance_tags(run) == provenance_tags(deleted)
    assert logged_models(run) == ["model", "sentiment"]


@pytest.mark.parametrize("state", ["training", "evaluating"])
@pytest.mark.usefixtures("project")
def test_an_incomplete_run_is_replaced_and_leaves_no_version(
    sentiment: Command, state: str
) -> None:
    """Leave what a process leaves that is killed while it logs."""
    (run,) = runs()
    client = mlflow.MlflowClient()
    client.set_tag(run.info.run_id, STATE, state)
    key = run.data.tags["training.key"]
    with checkpoint.exclusive_checkpoint(key) as saved:
        saved.write_run_info(training_id=run.data.tags["training.id"])
    sentiment("sync")
    (replaced,) = runs()
    assert replaced.info.run_id != run.info.run_id
    assert replaced.data.metrics["test_accuracy"] == run.data.metrics["test_accuracy"]
    assert champion_run() == replaced.info.run_id
    assert len(versions()) == 1


def test_a_training_that_is_logged_twice_has_one_of_everything(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the stage again before DVC has recorded it, as after a signal in its last second."""
    project.change(train={"units": 5})
    run_stages(project, "train")
    run_stages(project, "train")
    use_store(project, monkeypatch)
    new, _ = runs()
    assert logged_models(new) == ["model"]
    points = curve(new.info.run_id, workflow_runs.INITIAL_GRADIENT_NORM)
    assert [step for step, _ in points] == list(range(len(points)))
    assert [step for step, _ in curve(new.info.run_id)] == [1, 2]


@pytest.mark.usefixtures("project")
def test_an_interrupted_training_leaves_the_complete_run_of_the_same_key_alone(
    sentiment: Command,
) -> None:
    """Leave what a forced training leaves that is killed, if DVC restores the outputs then."""
    (complete,) = runs()
    key = complete.data.tags["training.key"]
    with checkpoint.exclusive_checkpoint(key) as saved:
        saved.write_state({"epochs": np.zeros((1, 6))})
        tags = {"training.id": saved.training_id, "training.key": key, STATE: "training"}
    client = mlflow.MlflowClient()
    client.create_run(complete.info.experiment_id, tags=tags)
    assert complete.info.run_id in sentiment("sync")
    interrupted, same = runs()
    assert interrupted.info.status == "KILLED"
    assert snapshot(same) == snapshot(complete)
    assert versions() == ["1"]


@pytest.mark.usefixtures("project")
def test_the_run_of_a_killed_training_with_other_params_does_not_stay_running(
    sentiment: Command,
) -> None:
    (complete,) = runs()
    with checkpoint.exclusive_checkpoint("0123456789abcdef") as killed:
        tags = {"training.id": killed.training_id, STATE: "training"}
    client = mlflow.MlflowClient()
    client.create_run(complete.info.experiment_id, tags=tags)
    elsewhere = client.create_run(client.create_experiment("another dataset"), tags=tags)
    with checkpoint.exclusive_checkpoint("0123456789abcdef"):  # it resumes elsewhere
        sentiment("sync")
        assert [run.info.status for run in runs()] == ["RUNNING", "FINISHED"]
    sentiment("sync")
    assert [run.info.status for run in runs()] == ["KILLED", "FINISHED"]
    assert client.get_run(elsewhere.info.run_id).info.status == "KILLED"


@pytest.mark.usefixtures("project")
def test_a_forced_training_is_another_whole_run_with_the_same_numbers(project: Project) -> None:
    run_stages(project, "train", "evaluate")
    use = project.path / "mlflow.db"
    mlflow.set_tracking_uri(f"sqlite:///{use}")
    new, old = runs()
    assert new.data.tags["training.id"] != old.data.tags["training.id"]
    assert new.data.tags[STATE] == old.data.tags[STATE]
    assert new.data.metrics["test_accuracy"] == old.data.metrics["test_accuracy"]
    assert logged_models(new) == logged_models(old)


def test_a_changed_threshold_is_another_run_and_version(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.change(evaluate={"threshold": 0.6})
    run_stages(project, "evaluate")
    use_store(project, monkeypatch)
    new, old = runs()
    assert new.data.params["evaluate.threshold"] == "0.6"
    assert versions() == ["1", "2"]
    assert provenance_tags(new) == provenance_tags(old)
    for name in CURVES:
        assert timed_curve(new, name) == timed_curve(old, name), name


@pytest.mark.usefixtures("project")
def test_a_changed_threshold_leaves_the_complete_run_alone_if_its_checkpoint_is_there(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave the checkpoint, as a decision does that failed after the run was complete."""
    (complete,) = runs()
    with checkpoint.exclusive_checkpoint(complete.data.tags["training.key"]) as left:
        left.write_run_info(training_id=complete.data.tags["training.id"])
    project.change(evaluate={"threshold": 0.6})
    run_stages(project, "evaluate")
    use_store(project, monkeypatch)
    _, old = runs()
    assert old.info == complete.info
    assert old.data.metrics == complete.data.metrics
    assert old.data.tags.pop("tests") == "1"  # the second version was tested against the first one
    assert old.data.tags == complete.data.tags
    assert versions() == ["1", "2"]


def test_a_restyled_plot_takes_the_place_of_the_earlier_one(
    project: Project, sentiment: Command
) -> None:
    plot = project.path / "data" / "evaluate" / "roc.png"
    plot.write_bytes(plot.read_bytes() + b"restyled")
    assert "logged again" in sentiment("sync")
    (run,) = runs()
    logged = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/roc.png")
    assert Path(logged).read_bytes() == plot.read_bytes()


def test_a_training_that_was_not_evaluated_yet_has_its_run(
    project: Project, monkeypatch: pytest.MonkeyPatch, sentiment: Command
) -> None:
    project.change(train={"units": 5})
    run_stages(project, "train")
    use_store(project, monkeypatch)
    assert runs()[0].info.run_id in sentiment("sync")
    assert runs()[0].data.tags[STATE] == "trained"
    assert len(runs()) == 2


def test_a_store_that_dies_during_a_training_is_said_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change(train={"units": 5})

    def fail(*_: object, **__: object) -> None:
        raise StoreError("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "log_metrics", fail)
        run_stages(project, "train", "evaluate")
    printed = capsys.readouterr()
    assert printed.err.count("Nothing more is logged to MLflow") == 1
    assert "Test Accuracy: 0." in printed.out
    use_store(project, monkeypatch)
    sync_run(alpha=0.05)
    whole = runs()[0]
    assert whole.data.params["train.units"] == "5"
    assert len(curve(whole.info.run_id, "loss")) == 2
    assert len(runs()) == 2


def test_a_store_that_is_away_is_one_message(
    project: Project, monkeypatch: pytest.MonkeyPatch, sentiment: Command
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    printed = sentiment.fail("sync")
    assert printed.startswith("Error: The MLflow server at http://127.0.0.1:")
    assert "Traceback" not in printed
    assert (project.path / files.PREDICTIONS_FILE).exists()


def test_a_locked_database_costs_no_training(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change(train={"units": 5})
    with closing(sqlite3.connect(project.path / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        run_stages(project, "train")
        other.rollback()
    assert "Nothing more is logged to MLflow" in capsys.readouterr().err
    run_stages(project, "evaluate")
    use_store(project, monkeypatch)
    assert runs()[0].data.params["train.units"] == "5"
    assert "test_accuracy" in runs()[0].data.metrics


@pytest.mark.usefixtures("project")
def test_sync_without_a_training_says_what_to_run(sentiment: Command) -> None:
    shutil.rmtree(files.TRAIN)
    assert "data/train/inputs.json is missing. Run `dvc repro` first" in sentiment.fail("sync")
