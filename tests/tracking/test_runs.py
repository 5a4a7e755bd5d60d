"""A training's run has what the training depends on, and each epoch as it ends."""

from pathlib import Path

import mlflow
import pandas as pd
import pytest
from sentiment.project.manifest import ModelManifest, TrainingManifest, read_manifest
from sentiment.project.signals import Interrupted

from sentiment.model.training import EPOCH_METRICS
from sentiment.project import paths
from sentiment.project.checkpoint import Journal
from sentiment.project.machine import machine_tags
from sentiment.tracking.runs import live_run
from tests.conftest import MakeProject, copy_project, curve, run_stages, runs, use_store
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow


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


def test_a_run_has_few_tags_that_say_where_it_comes_from(finished: ProjectCopy) -> None:
    (run,) = runs()
    own = {name for name in run.data.tags if not name.startswith("mlflow.")}
    assert own == {
        "training_id",
        "training_key",
        "repetition_key",
        "test_set_digest",
        "evaluation_digest",
        "model_digest",
        "cores",
        *machine_tags(),
    }
    assert run.data.tags["mlflow.source.name"] == "stages/train.py"
    commit = finished.run("git", "rev-parse", "HEAD").strip()
    assert run.data.tags["mlflow.source.git.commit"] == commit


@pytest.mark.usefixtures("finished")
def test_a_run_has_the_three_splits_as_datasets() -> None:
    (run,) = runs()
    assert run.inputs is not None
    logged = {each.tags[0].value: each.dataset.name for each in run.inputs.dataset_inputs}
    assert logged == {
        "training": "synthetic-training",
        "validation": "synthetic-validation",
        "test": "synthetic-test",
    }


@pytest.fixture
def manifest(project: ProjectCopy) -> TrainingManifest:
    """Return what another training depends on. The project's folder is the working directory."""
    read = read_manifest(project.path / paths.TRAIN_FOLDER, ModelManifest)
    return read.model_copy(update={"training_key": "0123456789abcdef"})


def test_a_run_has_the_uncommitted_changes_of_its_journal(manifest: TrainingManifest) -> None:
    with live_run(Journal(diff="+  units: 5"), manifest):
        pass
    diff = mlflow.artifacts.load_text(f"runs:/{runs()[0].info.run_id}/uncommitted.diff")
    assert diff == "+  units: 5\n"


def test_the_name_of_a_run_ends_with_its_dvc_experiment(manifest: TrainingManifest) -> None:
    with live_run(Journal(tags={"dvc.experiment": "bold-move"}), manifest):
        pass
    new, old = runs()
    assert new.info.run_name == f"{old.info.run_name} · bold-move"


@pytest.mark.parametrize(("error", "status"), [(Interrupted, "KILLED"), (MemoryError, "FAILED")])
def test_the_status_of_a_run_says_how_its_training_ended(
    manifest: TrainingManifest, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), live_run(Journal(), manifest):
        raise error
    assert runs()[0].info.status == status


def epochs(count: int) -> pd.DataFrame:
    """Return the history of a training after some epochs."""
    values = [0.1 + 0.2 * step for step in range(count)]
    return pd.DataFrame({"epoch": range(1, count + 1), **dict.fromkeys(EPOCH_METRICS, values)})


def test_a_training_that_resumes_has_the_same_run_and_each_epoch_once(
    manifest: TrainingManifest,
) -> None:
    journal = Journal()
    with live_run(journal, manifest) as live:
        live.log_epochs(epochs(1))
    before, _ = runs()
    with live_run(journal, manifest) as live:
        live.log_epochs(epochs(1))
        live.log_epochs(epochs(3))
    resumed, _ = runs()
    assert resumed.info.run_id == before.info.run_id
    assert resumed.info.status == "FINISHED"
    for name in EPOCH_METRICS:
        points = list(zip([1, 2, 3], epochs(3)[name], strict=True))
        assert curve(resumed.info.run_id, name) == points


def test_a_store_that_fails_during_a_training_is_said_once_and_costs_nothing(
    project: ProjectCopy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change(train={"units": 5})

    def fail(*_: object, **__: object) -> None:
        raise OSError("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "log_metrics", fail)
        run_stages(project, "train")
    assert capsys.readouterr().err.count("Logging to MLflow has stopped") == 1
    assert runs()[0].info.status == "FAILED"
    run_stages(project, "evaluate")
    whole, _ = runs()
    assert whole.info.status == "FINISHED"
    assert [step for step, _ in curve(whole.info.run_id)] == [1, 2]


@pytest.fixture(scope="session")
def trained_once(finished_once: ProjectCopy, shared: MakeProject) -> ProjectCopy:
    """Return a finished project after another training, which is not evaluated yet."""

    def train(project: ProjectCopy) -> None:
        project.change(train={"units": 5})
        run_stages(project, "train")

    return shared("trained", train, finished_once.path)


def test_a_run_that_is_not_evaluated_has_curves_and_no_model(
    trained_once: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(trained_once, monkeypatch)
    run, _ = runs()
    assert [step for step, _ in curve(run.info.run_id)] == [1, 2]
    assert "not evaluated yet" in run.data.tags["mlflow.note.content"]
    assert run.outputs is None or run.outputs.model_outputs == []


def test_a_training_that_runs_again_before_it_is_evaluated_has_one_run(
    trained_once: ProjectCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC runs the stage again if a signal came in its last second."""
    project = use_store(copy_project(trained_once, tmp_path / "project"), monkeypatch)
    before = runs()
    run_stages(project, "train")
    assert [run.info.run_id for run in runs()] == [run.info.run_id for run in before]
    for name in EPOCH_METRICS:
        assert [step for step, _ in curve(runs()[0].info.run_id, name)] == [1, 2], name
