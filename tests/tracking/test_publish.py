"""MLflow gets everything that the files have, once, whatever was lost, deleted or killed before."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from sentiment.errors import AlreadyRunningError, UserError
from tests.conftest import (
    Command,
    MakeProject,
    champion,
    curve,
    database_rows,
    run_stages,
    runs,
    use_store,
    versions,
)
from tests.project import MODEL, Project
from tracking import models, publish
from workflow import checkpoint, files
from workflow.checkpoint import CHECKPOINTS_FOLDER, STALE_AFTER_DAYS, Journal, exclusive_checkpoint
from workflow.files import EvaluateInputs

pytestmark = pytest.mark.slow
AWAY = "sqlite:///absent/mlflow.db"  # a store in a folder that does not exist
CURVES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")
PROVENANCE = ("mlflow.source.git.commit", "processor", "tensorflow", "keras")


def sync() -> Run:
    """Publish the files of the working directory, and return the run."""
    return mlflow.get_run(publish.sync(alpha=0.05).run_id)


def provenance(run: Run) -> dict[str, str | None]:
    """Return the tags that say where a training comes from."""
    return {name: run.data.tags.get(name) for name in PROVENANCE}


def timed_curves(run: Run) -> dict[str, list[tuple[int, float, int]]]:
    """Return step, value and time in milliseconds of each point of a training's curves."""
    client = mlflow.MlflowClient()
    return {
        name: [
            (point.step, point.value, point.timestamp)
            for point in client.get_metric_history(run.info.run_id, name)
        ]
        for name in CURVES
    }


def logged_models(run: Run) -> dict[str, str]:
    """Return the ids of a run's models, of which it must have two whole ones, by name."""
    found = models.logged_models(run)
    assert sorted(model.name for model in found) == ["model", "sentiment"]
    assert all(models.is_whole(model) for model in found)
    return {model.name: model.model_id for model in found}


def assert_whole(run: Run) -> None:
    """Check that a run has everything, once."""
    assert run.info.status == "FINISHED"
    for name in CURVES:
        assert [step for step, _ in curve(run.info.run_id, name)] == [1, 2], name
    metrics = files.read_json(files.TEST_METRICS_FILE)
    assert metrics.items() <= run.data.metrics.items()
    for name in metrics:
        assert len(curve(run.info.run_id, name)) == 1, name
    logged_models(run)
    assert len([each for each in versions() if each.run_id == run.info.run_id]) == 1


def end_at(name: str, number: int, patch: pytest.MonkeyPatch) -> None:
    """Let the n-th call of a method of MLflow's client raise what ends the process."""
    method: Callable[..., object] = getattr(mlflow.MlflowClient, name)
    left = number

    def count_down(*arguments: Any, **named: Any) -> object:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return method(*arguments, **named)

    patch.setattr(mlflow.MlflowClient, name, count_down)


def test_to_sync_twice_changes_no_row_of_the_database(project: Project) -> None:
    before = database_rows(project)
    sync()
    assert database_rows(project) == before


@pytest.mark.usefixtures("finished")
def test_a_run_and_its_version_have_the_same_card() -> None:
    (run,) = runs()
    (version,) = versions()
    card = run.data.tags["mlflow.note.content"]
    assert card.startswith(f"{run.data.metrics['test_accuracy']:.4f} · lstm-4 · num_words 450")
    assert version.description == card


@pytest.mark.usefixtures("finished")
def test_a_run_has_the_gradients_by_distance() -> None:
    (run,) = runs()
    table = pd.read_csv(files.GRADIENTS_FILE)
    for name, column in {"word_gradient": "mean", "word_gradient_initial": "initial_mean"}.items():
        points = list(zip(table["distance"], table[column], strict=True))
        assert curve(run.info.run_id, name) == points


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        (files.PREDICTIONS_FILE, cut),
        (files.GRADIENTS_FILE, cut),
        (files.MODEL_FILE, Path.unlink),
        (files.HISTORY_FILE, Path.unlink),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_damaged_file_is_one_message_and_nothing_is_logged_until_it_is_whole_again(
    project: Project, sentiment: Command, path: Path, damage: Callable[[Path], object]
) -> None:
    before = database_rows(project)
    content = path.read_bytes()
    damage(path)
    (message,) = sentiment.fail("sync").splitlines()
    assert message.startswith(f"Error: {path} is ")
    assert "`dvc repro`" in message
    assert database_rows(project) == before
    path.write_bytes(content)
    sync()
    assert database_rows(project) == before


def test_a_model_is_not_registered_with_texts_that_it_was_not_trained_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.MlflowClient().delete_model_version(MODEL, "1")
    project.change(fetch={"synthetic": {"seed": 1}})
    run_stages(project, "fetch")
    use_store(project, monkeypatch)
    with pytest.raises(UserError, match="data/pad was made from another data/fetch"):
        sync()
    assert versions() == []


@pytest.mark.usefixtures("project")
def test_sync_without_a_training_says_what_to_run(sentiment: Command) -> None:
    shutil.rmtree(files.TRAIN_FOLDER)
    printed = sentiment.fail("sync")
    assert "data/train/inputs.json is missing. `dvc repro` makes it" in printed


def test_lost_artifacts_come_back_in_the_same_run(project: Project) -> None:
    (run,) = runs()
    before = database_rows(project)
    folder = project.path / "mlruns" / run.info.experiment_id / run.info.run_id
    expected = set(folder.rglob("*"))
    shutil.rmtree(folder)
    sync()
    assert set(folder.rglob("*")) == expected
    assert database_rows(project) == before


@pytest.mark.parametrize(
    ("name", "lost"),
    [("sentiment", ""), ("model", "data/model.keras")],
)
def test_lost_files_of_a_model_come_back_and_its_version_and_the_champion_stay(
    project: Project, sentiment: Command, name: str, lost: str
) -> None:
    (run,) = runs()
    before = (logged_models(run), versions(), champion())
    (model,) = (each for each in models.logged_models(run) if each.name == name)
    path = project.path / str(model.artifact_location) / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    assert not models.is_whole(model)
    sync()
    assert (logged_models(run), versions(), champion()) == before
    assert "probability" in sentiment("predict", "A fine plot.")


def metric_rows(project: Project) -> list[str]:
    """Return the rows of all metrics of runs."""
    return [row for row in database_rows(project) if 'metrics"' in row and "logged" not in row]


def test_a_deleted_keras_model_is_logged_again_without_a_second_point(project: Project) -> None:
    (run,) = runs()
    before = metric_rows(project)
    deleted = logged_models(run)
    mlflow.MlflowClient().delete_logged_model(deleted["model"])
    sync()
    assert logged_models(run)["model"] != deleted["model"]
    assert logged_models(run)["sentiment"] == deleted["sentiment"]
    assert metric_rows(project) == before


def test_a_deleted_metric_is_logged_again_without_a_second_point(project: Project) -> None:
    before = database_rows(project)
    with closing(sqlite3.connect(project.path / "mlflow.db")) as connection, connection:
        for table in ("metrics", "latest_metrics"):
            connection.execute(f"DELETE FROM {table} WHERE key = 'test_loss'")
    assert database_rows(project) != before
    sync()
    assert database_rows(project) == before


def test_a_deleted_run_is_restored(project: Project) -> None:
    (run,) = runs()
    before = database_rows(project)
    mlflow.MlflowClient().delete_run(run.info.run_id)
    assert sync().info.run_id == run.info.run_id
    assert database_rows(project) == before


@pytest.mark.usefixtures("project")
def test_a_run_whose_tag_was_edited_stays_one_run() -> None:
    (run,) = runs()
    mlflow.MlflowClient().set_tag(run.info.run_id, "evaluation", "edited")
    sync()
    (same,) = runs()
    assert same.info.run_id == run.info.run_id
    assert same.data.tags == run.data.tags
    assert_whole(same)


@pytest.mark.usefixtures("project")
def test_a_deleted_text_model_is_logged_again_and_its_version_replaced(sentiment: Command) -> None:
    (run,) = runs()
    mlflow.MlflowClient().set_model_version_tag(MODEL, "1", "tests", "3")
    tags = champion().tags
    mlflow.MlflowClient().delete_logged_model(logged_models(run)["sentiment"])
    sync()
    (version,) = versions()
    assert version.source == f"models:/{logged_models(run)['sentiment']}"
    assert champion().version == version.version
    assert champion().tags == tags
    assert "probability" in sentiment("predict", "A fine plot.")


@pytest.mark.usefixtures("project")
def test_a_deleted_registered_model_is_registered_and_decided_anew() -> None:
    (run,) = runs()
    mlflow.MlflowClient().delete_registered_model(MODEL)
    sync()
    assert champion().run_id == run.info.run_id
    assert champion().tags["reason"].startswith("there was no champion before")


def test_another_evaluation_with_the_same_predictions_reaches_the_same_run(
    project: Project,
) -> None:
    """Write what newer code writes: another metric, other values, another style of plots."""
    (run,) = runs()
    metrics = files.read_json(files.TEST_METRICS_FILE)
    newer = {**metrics, "test_kappa": 0.5, "test_loss": 0.1, "test_brier": 0.9}
    files.write_json(files.TEST_METRICS_FILE, newer)
    plot = files.EVALUATE_FOLDER / "roc.png"
    plot.write_bytes(plot.read_bytes() + b"restyled")
    inputs = files.read_inputs(files.EVALUATE_FOLDER, EvaluateInputs)
    (files.EVALUATE_FOLDER / files.INPUTS).unlink()
    files.write_inputs(files.EVALUATE_FOLDER, inputs)
    assert sync().info.run_id == run.info.run_id
    (same,) = runs()
    assert newer.items() <= same.data.metrics.items()
    logged = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/roc.png")
    assert Path(logged).read_bytes() == plot.read_bytes()
    assert len(versions()) == 1
    before = database_rows(project)
    sync()
    assert database_rows(project) == before


def test_a_changed_threshold_is_another_run_of_the_same_training(project: Project) -> None:
    (before,) = runs()
    project.change(evaluate={"threshold": 0.6})
    run_stages(project, "evaluate")
    new, old = runs()
    assert new.data.params["evaluate.threshold"] == "0.6"
    assert provenance(new) == provenance(old)
    assert timed_curves(new) == timed_curves(old)
    assert old.data.to_dictionary() == before.data.to_dictionary()
    assert [version.run_id for version in versions()] == [new.info.run_id, old.info.run_id]


def test_a_forced_training_is_another_run_that_repeats_the_champion(project: Project) -> None:
    run_stages(project, "train", "evaluate")
    new, old = runs()
    assert new.data.tags["evaluation"] == old.data.tags["evaluation"]
    assert new.data.tags["training.id"] != old.data.tags["training.id"]
    assert_whole(new)
    assert champion().run_id == old.info.run_id
    assert versions()[0].tags["reason"].startswith("it repeats the champion's training")


@pytest.fixture(scope="session")
def unlogged_once(finished_once: Project, shared: MakeProject) -> Project:
    """Return a finished project after another training, during which the store was away."""

    def train(project: Project) -> None:
        project.change(train={"units": 5})
        run_stages(project, "train", "evaluate", store=AWAY)

    return shared("unlogged", train, finished_once.path)


@pytest.fixture
def unlogged(unlogged_once: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Copy the project, and make the copy the working directory."""
    return use_store(unlogged_once.copy(tmp_path / "project"), monkeypatch)


def test_a_training_whose_store_was_away_is_logged_later_with_its_commit_and_times(
    unlogged: Project,
) -> None:
    evaluated = int(1000 * files.PREDICTIONS_FILE.stat().st_mtime)
    run = sync()
    assert run.data.params["train.units"] == "5"
    assert_whole(run)
    commit = unlogged.run("git", "rev-parse", "HEAD").strip()
    assert run.data.tags["mlflow.source.git.commit"] == commit
    times = [point[2] for points in timed_curves(run).values() for point in points]
    assert max(times) <= evaluated


def test_a_store_that_is_away_is_said_and_stops_no_stage(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = database_rows(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    publish.publish_or_explain(alpha=0.05)
    printed = capsys.readouterr().err
    assert printed.startswith("data/ is complete but not logged to MLflow. Run `sentiment sync`")
    assert database_rows(project) == before


@pytest.mark.parametrize(
    ("method", "number"),
    [
        ("set_tag", 1),  # the description
        ("log_artifact", 3),
        ("create_model_version", 1),
        ("set_tag", 2),  # the evaluation
    ],
)
@pytest.mark.usefixtures("unlogged")
def test_a_publication_that_was_killed_is_finished_in_the_same_run(
    method: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        end_at(method, number, patch)
        with pytest.raises(KeyboardInterrupt):
            sync()
    killed, _ = runs()
    assert "evaluation" not in killed.data.tags
    assert sync().info.run_id == killed.info.run_id
    whole, _ = runs()
    assert_whole(whole)


@pytest.fixture
def lost(finished_once: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Copy a finished project whose store is lost, and make the copy the working directory."""
    copy = finished_once.copy(tmp_path / "project")
    (copy.path / "mlflow.db").unlink()
    shutil.rmtree(copy.path / "mlruns")
    return use_store(copy, monkeypatch)


def run_before(project: Project) -> Run:
    """Return the only run in another project's store."""
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{project.path}/mlflow.db")
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def test_a_run_of_a_lost_store_is_made_again_with_its_commit_and_times(
    finished_once: Project, lost: Project
) -> None:
    before = run_before(finished_once)
    times = (lost.path / files.HISTORY_FILE).stat().st_mtime
    run = sync()
    assert_whole(run)
    assert run.data.params == before.data.params
    assert run.data.tags == before.data.tags
    ended = [point[2] for points in timed_curves(run).values() for point in points]
    assert max(ended) <= 1000 * times


def test_a_run_of_which_only_files_are_left_says_that_nobody_knows_its_commit(
    finished_once: Project, lost: Project
) -> None:
    before = run_before(finished_once)
    shutil.rmtree(lost.path / checkpoint.CHECKPOINTS_FOLDER)
    sync()
    (run,) = runs()
    assert run.data.params == before.data.params
    assert [step for step, _ in curve(run.info.run_id)] == [1, 2]
    assert run.data.tags["mlflow.source.git.commit"] == "unknown"
    assert run.data.tags["mlflow.note.content"].startswith(publish.FROM_FILES)
    logged_models(run)


@pytest.mark.parametrize("uri", ["sqlite:///runs.db", "sqlite:///runs.db?timeout=60"])
def test_another_database_is_made_and_gets_everything(
    project: Project, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert_whole(sync())
    assert (project.path / "runs.db").exists()


def test_a_clock_that_was_ahead_adds_no_points_later(
    lost: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        now = time.time
        patch.setattr(time, "time", lambda: now() + 24 * 3600)
        sync()
    before = database_rows(lost)
    sync()
    assert database_rows(lost) == before


def test_another_clone_of_the_project_finds_the_run(project: Project) -> None:
    before = database_rows(project)
    shutil.rmtree(project.path / checkpoint.CHECKPOINTS_FOLDER)
    sync()
    assert database_rows(project) == before


def interrupt_training(key: str, experiment_id: str) -> str:
    """Leave what a killed training leaves, and return the id of its run."""
    journal = Journal()
    with exclusive_checkpoint(key) as killed:
        killed.write_journal(journal)
    tags = {"training.id": journal.training_id}
    return str(mlflow.MlflowClient().create_run(experiment_id, tags=tags).info.run_id)


def status(run_id: str) -> str:
    return str(mlflow.get_run(run_id).info.status)


@pytest.mark.usefixtures("project")
def test_the_runs_of_killed_trainings_end_in_all_experiments() -> None:
    (complete,) = runs()
    here = interrupt_training("a" * 16, complete.info.experiment_id)
    other = interrupt_training("b" * 16, mlflow.MlflowClient().create_experiment("another dataset"))
    sync()
    assert [status(here), status(other)] == ["KILLED", "KILLED"]
    assert status(complete.info.run_id) == "FINISHED"


@pytest.mark.usefixtures("project")
def test_the_run_of_a_killed_training_ends_even_if_the_files_are_refused() -> None:
    run_id = interrupt_training("a" * 16, runs()[0].info.experiment_id)
    files.MODEL_FILE.unlink()
    with pytest.raises(UserError, match=r"model\.keras is missing"):
        sync()
    assert status(run_id) == "KILLED"


@pytest.mark.usefixtures("project")
def test_the_run_of_a_killed_training_ends_before_its_old_checkpoint_is_removed() -> None:
    (complete,) = runs()
    run_id = interrupt_training("a" * 16, complete.info.experiment_id)
    folder = Path(CHECKPOINTS_FOLDER, "a" * 16)
    long_ago = time.time() - (STALE_AFTER_DAYS + 1) * 24 * 3600
    os.utime(folder, (long_ago, long_ago))
    publish.publish(alpha=0.05)  # as the stage evaluate of another training
    assert folder.exists()
    sync()
    assert status(run_id) == "KILLED"
    assert not folder.exists()


@pytest.mark.usefixtures("project")
def test_the_run_of_a_training_that_resumed_stays_running() -> None:
    run_id = interrupt_training("a" * 16, runs()[0].info.experiment_id)
    with exclusive_checkpoint("a" * 16):
        sync()
    assert status(run_id) == "RUNNING"


@pytest.mark.usefixtures("project")
def test_no_training_can_resume_while_its_run_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_training("a" * 16, runs()[0].info.experiment_id)
    set_terminated = mlflow.MlflowClient.set_terminated
    refused = []

    def end_run(client: mlflow.MlflowClient, run_id: str, status: str) -> None:
        with pytest.raises(AlreadyRunningError), exclusive_checkpoint("a" * 16, wait_seconds=0):
            pass
        refused.append(run_id)
        set_terminated(client, run_id, status)

    monkeypatch.setattr(mlflow.MlflowClient, "set_terminated", end_run)
    sync()
    assert len(refused) == 1


@pytest.mark.usefixtures("project")
def test_the_running_training_of_a_colleague_stays_running() -> None:
    """Its checkpoint is on another machine."""
    tags = {"training.id": Journal().training_id}
    run = mlflow.MlflowClient().create_run(runs()[0].info.experiment_id, tags=tags)
    sync()
    assert status(run.info.run_id) == "RUNNING"


@pytest.mark.usefixtures("project")
def test_a_killed_repetition_of_a_training_leaves_the_complete_run_alone() -> None:
    (complete,) = runs()
    killed = interrupt_training(complete.data.tags["training.key"], complete.info.experiment_id)
    assert sync().info.run_id == complete.info.run_id
    same = mlflow.get_run(complete.info.run_id)
    assert same.to_dictionary() == complete.to_dictionary()
    assert status(killed) == "KILLED"
    assert "evaluation" not in mlflow.get_run(killed).data.tags


@pytest.mark.usefixtures("project")
def test_a_complete_run_whose_process_was_killed_before_its_end_is_finished() -> None:
    (run,) = runs()
    mlflow.MlflowClient().update_run(run.info.run_id, status="RUNNING")
    assert sync().info.status == "FINISHED"


@pytest.mark.usefixtures("project")
def test_files_of_a_training_that_runs_again_are_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish, "EVALUATION_WAIT_SECONDS", 0.1)
    with exclusive_checkpoint(runs()[0].data.tags["training.key"]):
        publish.publish_or_explain(alpha=0.05)
    assert "This training is already running" in capsys.readouterr().err


@pytest.mark.usefixtures("lost")
def test_a_lock_file_of_other_data_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"stages": {"fetch": {"outs": [{"path": "data/fetch", "md5": "0123.dir"}]}}}
    files.write_json(files.DVC_LOCK, document)
    run = sync()
    message = "dvc.lock does not describe data/, so the run does not have it."
    assert message in capsys.readouterr().out.splitlines()
    logged = {each.path for each in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert "params.yaml" in logged
    assert "dvc.lock" not in logged


@pytest.mark.usefixtures("unlogged")
def test_files_that_another_training_replaces_meanwhile_are_not_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Replace the model after its copy, as another training does while a server is slow."""
    own = files.MODEL_FILE.read_bytes()
    save = models.save_text_model

    def save_another(*arguments: Any) -> None:
        files.MODEL_FILE.write_bytes(b"another training")
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(models, "save_text_model", save_another)
        with pytest.raises(UserError, match=r"model\.keras is not what the stage train wrote"):
            sync()
    assert "evaluation" not in runs()[0].data.tags
    files.MODEL_FILE.write_bytes(own)
    run = sync()
    logged = {model.name: model for model in models.logged_models(run)}["sentiment"]
    path = Path(str(logged.artifact_location), "artifacts", files.MODEL_FILE.name)
    assert path.read_bytes() == own


@pytest.mark.usefixtures("project")
def test_a_version_that_a_person_made_of_the_keras_model_stays() -> None:
    (run,) = runs()
    client = mlflow.MlflowClient()
    source = f"models:/{logged_models(run)['model']}"
    own = client.create_model_version(MODEL, source, run.info.run_id)
    client.set_registered_model_alias(MODEL, "mine", own.version)
    sync()
    assert client.get_model_version_by_alias(MODEL, "mine").version == own.version


@pytest.mark.usefixtures("project")
def test_the_version_of_a_run_is_found_after_its_experiment_was_renamed(
    sentiment: Command,
) -> None:
    (run,) = runs()
    mlflow.MlflowClient().rename_experiment(run.info.experiment_id, "renamed")
    assert "is now the champion" in sentiment("promote", run.info.run_id)


def test_the_run_of_an_evaluation_that_was_killed_ends_after_a_forced_training(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (killed,) = runs()
    client = mlflow.MlflowClient()
    client.delete_tag(killed.info.run_id, "evaluation")
    client.update_run(killed.info.run_id, "RUNNING")
    run_stages(project, "train", "evaluate")
    use_store(project, monkeypatch)
    sync()
    assert client.get_run(killed.info.run_id).info.status == "KILLED"
