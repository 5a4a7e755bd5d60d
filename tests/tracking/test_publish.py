"""MLflow gets the content of `data/` and `metrics/` as one run and one version, once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import LoggedModel, Run
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2
from sentiment.project.manifest import ModelManifest, read_manifest, write_manifest
from sentiment.project.signals import Interrupted
from sentiment.tracking.versions import load_model, version_uri

from sentiment.errors import UserError
from sentiment.model.saving import save_model
from sentiment.model.training import EPOCH_METRICS
from sentiment.prediction.keras_classifier import load_keras_model
from sentiment.project import checkpoint, paths
from sentiment.project.checkpoint import (
    CHECKPOINTS_FOLDER,
    STATE_FILE,
    Journal,
    exclusive_checkpoint,
)
from sentiment.project.digests import file_digest
from sentiment.project.documents import read_json, write_json
from sentiment.project.params_file import load_params
from sentiment.tracking import models, publish
from sentiment.tracking.runs import KEPT_VAL_ACCURACY, live_run
from tests.conftest import (
    MakeProject,
    champion,
    copy_project,
    curve,
    database_rows,
    run_stages,
    runs,
    use_store,
    versions,
    write_lock,
)
from tests.small_project import MODEL, ProjectCopy
from tests.tracking.kills import end_at

pytestmark = pytest.mark.slow
AWAY = "sqlite:///absent/mlflow.db"  # a store in a folder that does not exist
COMMIT = "mlflow.source.git.commit"
PROVENANCE = (COMMIT, "mlflow.source.git.branch", "training_id", "processor", "keras")


def publish_files() -> Run:
    """Publish the files of the working directory, and return the run."""
    publication = publish.read_publication()
    return mlflow.get_run(publish.publish(publication, alpha=0.05).run_id)


def provenance(run: Run) -> dict[str, str | None]:
    """Return the tags that say where a training comes from."""
    return {name: run.data.tags.get(name) for name in PROVENANCE}


def logged_models(run: Run) -> dict[str, LoggedModel]:
    """Return the models of a run that are not deleted, of which it must have two, by name."""
    filter_string = f"source_run_id = '{run.info.run_id}'"
    found = mlflow.MlflowClient().search_logged_models([run.info.experiment_id], filter_string)
    assert sorted(model.name for model in found) == [models.KERAS_MODEL, models.TEXT_MODEL]
    return {model.name: model for model in found}


def assert_whole(run: Run) -> None:
    """Check that a run has everything in the files, once, and one version with this model."""
    assert run.info.status == "FINISHED"
    history = pd.read_csv(paths.HISTORY_FILE)
    for name in EPOCH_METRICS:
        points = list(zip(history["epoch"], history[name], strict=True))
        assert curve(run.info.run_id, name) == points, name
    for name, value in read_json(paths.TEST_METRICS_FILE).items():
        assert curve(run.info.run_id, name) == [(0, value)], name
    kept = read_json(paths.TRAINING_METRICS_FILE)["val_accuracy"]
    assert curve(run.info.run_id, KEPT_VAL_ACCURACY) == [(0, kept)]
    for path in paths.EVALUATE_FOLDER.iterdir():
        logged = Path(run.info.artifact_uri, path.name)
        assert logged.read_bytes() == path.read_bytes(), path
    (version,) = (each for each in versions() if each.run_id == run.info.run_id)
    assert version.source == f"models:/{logged_models(run)[models.TEXT_MODEL].model_id}"
    assert version.tags.keys() >= {"dataset", "decision", "reason", "test_accuracy"}
    assert run.data.tags["mlflow.note.content"].startswith(str(version.description))
    folder = Path(str(logged_models(run)[models.TEXT_MODEL].artifact_location))
    assert (folder / "artifacts" / "model.keras").read_bytes() == paths.MODEL_FILE.read_bytes()
    assert (folder / "MLmodel").exists()


def has_state(run: Run) -> bool:
    """Return whether the training of a run would resume."""
    return Path(CHECKPOINTS_FOLDER, run.data.tags["training_key"], STATE_FILE).exists()


def forget_machine(project: ProjectCopy) -> None:
    """Remove what a machine that has not run the training does not have."""
    shutil.rmtree(project.path / CHECKPOINTS_FOLDER)


@pytest.fixture
def lost(project: ProjectCopy) -> ProjectCopy:
    """Delete the store of a finished project."""
    (project.path / "mlflow.db").unlink()
    shutil.rmtree(project.path / "mlruns")
    return project


@pytest.fixture(scope="session")
def unlogged_once(finished_once: ProjectCopy, shared: MakeProject) -> ProjectCopy:
    """Return a finished project after another training, during which the store was away."""

    def train(project: ProjectCopy) -> None:
        project.change(train={"units": 5})
        run_stages(project, "train", "evaluate", store=AWAY)

    return shared("unlogged", train, finished_once.path)


@pytest.fixture
def unlogged(
    unlogged_once: ProjectCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ProjectCopy:
    """Copy the project, and make the copy the working directory."""
    return use_store(copy_project(unlogged_once, tmp_path / "project"), monkeypatch)


def test_to_publish_twice_changes_no_row_of_the_database(project: ProjectCopy) -> None:
    before = database_rows(project)
    publish_files()
    assert database_rows(project) == before


def test_a_machine_that_has_only_the_files_finds_the_run(project: ProjectCopy) -> None:
    before = database_rows(project)
    forget_machine(project)
    publish_files()
    assert database_rows(project) == before


@pytest.mark.usefixtures("finished")
def test_a_run_and_its_version_have_the_same_card() -> None:
    (run,) = runs()
    (version,) = versions()
    card = run.data.tags["mlflow.note.content"]
    name = "default · num_words 450 · max_length 40 · embedding_units 4 · units 4 · epochs 2"
    assert card.startswith(f"{run.data.metrics['test_accuracy']:.4f} · {name}\n")
    assert version.description == card


@pytest.mark.usefixtures("finished")
def test_a_run_has_the_gradients_by_distance() -> None:
    (run,) = runs()
    table = pd.read_csv(paths.GRADIENTS_FILE)
    for name, column in {"word_gradient": "mean", "word_gradient_initial": "initial_mean"}.items():
        points = list(zip(table["distance"], table[column], strict=True))
        assert curve(run.info.run_id, name) == points


@pytest.mark.parametrize(
    ("method", "argument", "after"),
    [
        pytest.param("log_artifacts", "data/evaluate", False, id="before the files"),
        pytest.param("log_model_artifacts", "", False, id="in the first model"),
        pytest.param("_create_logged_model", "sentiment", False, id="between the models"),
        pytest.param("create_model_version", "", True, id="after the version"),
        pytest.param("set_tag", "evaluation_digest", False, id="before the tag"),
    ],
)
@pytest.mark.usefixtures("unlogged")
def test_a_publication_that_was_killed_is_done_again_in_the_same_run(
    method: str, argument: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        end_at(patch, method, argument, after=after)
        with pytest.raises(KeyboardInterrupt):
            publish_files()
    killed, _ = runs()
    assert "evaluation_digest" not in killed.data.tags
    assert has_state(killed)
    assert publish_files().info.run_id == killed.info.run_id
    whole, _ = runs()
    assert_whole(whole)
    assert not has_state(whole)


@pytest.mark.usefixtures("lost")
def test_a_run_of_a_deleted_store_is_logged_again_with_its_commit(
    finished_once: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = publish_files()
    assert_whole(run)
    use_store(finished_once, monkeypatch)
    (before,) = runs()
    assert run.data.params == before.data.params
    assert run.data.tags == before.data.tags


def test_a_training_of_another_machine_is_logged_with_an_unknown_commit_also_after_a_kill(
    lost: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_machine(lost)
    with monkeypatch.context() as patch:
        end_at(patch, "create_model_version")
        with pytest.raises(KeyboardInterrupt):
            publish_files()
    publish_files()
    (run,) = runs()
    assert run.data.tags[COMMIT] == "unknown"
    assert "processor" not in run.data.tags
    assert_whole(run)


@pytest.mark.usefixtures("project")
def test_after_its_run_was_deleted_a_training_is_logged_as_another_run() -> None:
    (deleted,) = runs()
    mlflow.delete_run(deleted.info.run_id)
    run = publish_files()
    assert run.info.run_id != deleted.info.run_id
    assert provenance(run) == provenance(deleted)


def test_a_version_that_was_deleted_stays_deleted(project: ProjectCopy) -> None:
    mlflow.MlflowClient().delete_model_version(MODEL, "1")
    before = database_rows(project)
    publish_files()
    assert database_rows(project) == before


def test_another_threshold_is_another_run_of_the_same_training(project: ProjectCopy) -> None:
    (before,) = runs()
    project.change(evaluate={"threshold": 0.6})
    run_stages(project, "evaluate")
    new, old = runs()
    assert new.data.params["evaluate.threshold"] == "0.6"
    assert provenance(new) == provenance(old)
    assert old.to_dictionary() == before.to_dictionary()
    assert [version.run_id for version in versions()] == [new.info.run_id, old.info.run_id]
    assert_whole(new)


@pytest.mark.usefixtures("project")
def test_an_evaluation_with_other_metrics_is_another_run_of_the_same_training() -> None:
    metrics = read_json(paths.TEST_METRICS_FILE)
    write_json(paths.TEST_METRICS_FILE, {**metrics, "test_loss": 0.1})
    publish_files()
    new, old = runs()
    assert new.data.metrics["test_loss"] == 0.1
    assert old.data.metrics["test_loss"] == metrics["test_loss"]
    assert provenance(new) == provenance(old)


@pytest.mark.usefixtures("project")
def test_a_new_plot_and_a_new_metric_reach_the_same_run() -> None:
    """Write what newer code writes for the same predictions."""
    (run,) = runs()
    metrics = read_json(paths.TEST_METRICS_FILE)
    write_json(paths.TEST_METRICS_FILE, {**metrics, "test_kappa": 0.5})
    plot = paths.EVALUATE_FOLDER / "roc.png"
    plot.write_bytes(plot.read_bytes() + b"restyled")
    assert publish_files().info.run_id == run.info.run_id
    (same,) = runs()
    assert same.data.metrics["test_kappa"] == 0.5
    assert_whole(same)


def test_without_log_texts_another_machine_takes_the_texts_out_of_the_run_and_decides_nothing_again(
    unlogged: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = publish_files()
    folder = Path(run.info.artifact_uri)
    texts = pd.read_csv(folder / "mistakes.csv")["text"]
    tests = champion().tags["tested_candidates"]
    forget_machine(unlogged)  # another machine finds the run by its model
    unlogged.change(evaluate={"log_texts": False})
    run_stages(unlogged, "evaluate")
    use_store(unlogged, monkeypatch)
    same, _ = runs()
    assert same.info.run_id == run.info.run_id
    assert provenance(same) == provenance(run)
    assert_whole(same)
    assert champion().tags["tested_candidates"] == tests
    logged = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert [text for text in texts if text.strip().encode() in logged] == []


def test_a_forced_training_is_another_run_that_repeats_the_champion(project: ProjectCopy) -> None:
    run_stages(project, "train", "evaluate")
    new, old = runs()
    assert new.data.tags["evaluation_digest"] == old.data.tags["evaluation_digest"]
    assert new.data.tags["training_id"] != old.data.tags["training_id"]
    assert_whole(new)
    assert champion().run_id == old.info.run_id
    assert versions()[0].tags["reason"].startswith("it repeats the champion's training")


def interrupt_training() -> Journal:
    """Leave what a training of the same key leaves that was interrupted, and return its journal."""
    manifest = read_manifest(paths.TRAIN_FOLDER, ModelManifest)
    journal = Journal(tags={COMMIT: "interrupted", "processor": "another"})
    with exclusive_checkpoint(manifest.training_key) as interrupted:
        interrupted.write_journal(journal)
        interrupted.write_state({})
    with pytest.raises(Interrupted), live_run(journal, manifest):
        raise Interrupted
    return journal


def test_a_machine_with_an_interrupted_training_finds_the_run_of_anothers_result(
    project: ProjectCopy,
) -> None:
    (run,) = runs()
    journal = interrupt_training()
    before = database_rows(project)
    assert publish_files().info.run_id == run.info.run_id
    assert database_rows(project) == before
    with exclusive_checkpoint(run.data.tags["training_key"]) as interrupted:
        assert interrupted.read_state() is not None
        assert interrupted.read_journal() == journal


@pytest.mark.usefixtures("lost")
def test_a_machine_with_an_interrupted_training_logs_anothers_result_to_another_run() -> None:
    journal = interrupt_training()
    run = publish_files()
    assert run.data.tags["training_id"] != journal.training_id
    assert run.data.tags[COMMIT] == "unknown"
    assert has_state(run)
    assert_whole(run)


def train_with_other_bits(project: ProjectCopy) -> None:
    """Write what the same training writes on a machine with another arithmetic."""
    model = load_keras_model(paths.MODEL_FILE)
    rng = np.random.default_rng(0)
    model.set_weights([each + rng.normal(0, 0.1, each.shape) for each in model.get_weights()])
    save_model(model, paths.MODEL_FILE)
    manifest = read_manifest(paths.TRAIN_FOLDER, ModelManifest)
    manifest = manifest.model_copy(update={"model_digest": file_digest(paths.MODEL_FILE)})
    write_manifest(paths.TRAIN_FOLDER, manifest)
    with exclusive_checkpoint(manifest.training_key) as other:
        other.write_journal(
            Journal(tags={"processor": "another"}, model_digest=manifest.model_digest)
        )
    run_stages(project, "evaluate")


def test_two_machines_with_other_bits_of_the_same_training_find_each_its_own_run(
    project: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own,) = runs()
    for name in (paths.DATA.name, paths.METRICS_FOLDER.name, CHECKPOINTS_FOLDER):
        shutil.copytree(project.path / name, project.path / "own" / name)
    train_with_other_bits(project)
    use_store(project, monkeypatch)
    other, _ = runs()
    assert other.data.tags["training_key"] == own.data.tags["training_key"]
    assert other.data.tags["processor"] == "another"
    before = database_rows(project)
    assert publish_files().info.run_id == other.info.run_id
    for name in (paths.DATA.name, paths.METRICS_FOLDER.name, CHECKPOINTS_FOLDER):
        shutil.rmtree(project.path / name)
        (project.path / "own" / name).rename(project.path / name)
    assert publish_files().info.run_id == own.info.run_id
    assert database_rows(project) == before


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("path", "damage", "problem"),
    [
        (paths.MODEL_FILE, Path.unlink, "is missing"),
        (paths.HISTORY_FILE, Path.unlink, "is missing"),
        (paths.TEST_METRICS_FILE, cut, "is damaged"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_files_that_are_missing_or_damaged_are_one_message_and_nothing_is_logged(
    lost: ProjectCopy, path: Path, damage: Callable[[Path], object], problem: str
) -> None:
    damage(path)
    with pytest.raises(UserError, match=rf"^{path} {problem}.*`dvc repro`"):
        publish_files()
    assert not (lost.path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("copied", "message"),
    [
        (
            paths.MODEL_FILE,
            "data/train/model.keras is not the model that the stage train wrote. Run `dvc repro`, "
            "which makes it or takes it from DVC's cache.",
        ),
        (paths.HISTORY_FILE, "metrics/history.csv is of another training. Run `dvc repro`."),
        (
            paths.TRAIN_FOLDER / paths.MANIFEST_NAME,
            "data/evaluate was made from another data/train. Run `dvc repro`.",
        ),
    ],
    ids=str,
)
def test_files_of_another_training_are_one_message_and_nothing_is_logged(
    lost: ProjectCopy, unlogged_once: ProjectCopy, copied: Path, message: str
) -> None:
    shutil.copy2(unlogged_once.path / copied, copied)
    with pytest.raises(UserError) as raised:
        publish_files()
    assert str(raised.value) == message
    assert not (lost.path / "mlflow.db").exists()


@pytest.mark.usefixtures("unlogged")
def test_files_that_are_replaced_while_they_are_logged_are_not_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = paths.MODEL_FILE.read_bytes()
    log_text_model = models.log_text_model

    def replace_files(*arguments: object) -> str:
        model_id = log_text_model(*arguments)  # type: ignore[arg-type]
        paths.MODEL_FILE.write_bytes(b"another training")
        return model_id

    with monkeypatch.context() as patch:
        patch.setattr(models, "log_text_model", replace_files)
        with pytest.raises(UserError, match="data was changed while it was logged"):
            publish_files()
    replaced, _ = runs()
    assert "evaluation_digest" not in replaced.data.tags
    assert [version.run_id for version in versions()] != [replaced.info.run_id]
    paths.MODEL_FILE.write_bytes(own)
    assert publish_files().info.run_id == replaced.info.run_id
    assert_whole(mlflow.get_run(replaced.info.run_id))


@pytest.mark.usefixtures("project")
def test_files_of_a_training_that_runs_again_are_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "WAIT_SECONDS", 0.1)
    with exclusive_checkpoint(runs()[0].data.tags["training_key"]):
        assert publish.publish_stage(alpha=0.05) is None
    assert "This training is already running" in capsys.readouterr().err


@pytest.mark.usefixtures("lost")
def test_the_card_of_a_run_says_how_to_get_its_data_and_that_of_its_version_does_not() -> None:
    write_lock(load_params().train)
    run = publish_files()
    assert "dvc pull data/fetch data/pad data/train" in run.data.tags["mlflow.note.content"]
    (version,) = versions()
    assert "dvc pull" not in str(version.description)


@pytest.mark.usefixtures("unlogged")
def test_a_user_who_may_not_delete_completes_an_interrupted_publication(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        end_at(patch, "create_model_version")
        with pytest.raises(KeyboardInterrupt):
            publish_files()

    def refuse(*_: object) -> None:
        code = databricks_pb2.ErrorCode.Value("PERMISSION_DENIED")
        raise MlflowException("Permission denied", code)

    monkeypatch.setattr(mlflow.MlflowClient, "delete_logged_model", refuse)
    run = publish_files()
    assert "evaluation_digest" in run.data.tags
    (version,) = (each for each in versions() if each.run_id == run.info.run_id)
    assert load_model(version_uri(version)).predict_texts(["A fine plot."])
