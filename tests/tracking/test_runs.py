"""A training's run has what the training depends on, and each epoch as it ends."""

import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from tests.conftest import MakeProject, curve, run_stages, runs, use_store
from tests.project import Project
from tracking import runs as workflow_runs
from tracking.models import logged_models
from workflow import files
from workflow.checkpoint import Journal, exclusive_checkpoint
from workflow.files import TrainInputs
from workflow.provenance import machine_tags
from workflow.stage import Interrupted

pytestmark = pytest.mark.slow
CURVES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")


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


def test_a_run_has_few_tags_that_say_where_it_comes_from(finished: Project) -> None:
    (run,) = runs()
    own = {name for name in run.data.tags if not name.startswith("mlflow.")}
    assert own == {
        "training.id",
        "training.key",
        "training.repetition_key",
        "test_set",
        "evaluation",
        *machine_tags(),
    }
    assert run.data.tags["mlflow.source.name"] == "stages/train.py"
    commit = finished.run("git", "rev-parse", "HEAD").strip()
    assert run.data.tags["mlflow.source.git.commit"] == commit


@pytest.mark.usefixtures("finished")
def test_curves_have_a_point_for_each_epoch_and_no_more() -> None:
    (run,) = runs()
    for name in CURVES:
        assert [step for step, _ in curve(run.info.run_id, name)] == [1, 2], name


@pytest.fixture
def inputs(project: Project) -> TrainInputs:
    """Return what another training depends on. The project's folder is the working directory."""
    read = files.read_inputs(project.path / files.TRAIN_FOLDER, TrainInputs)
    return read.model_copy(update={"key": "0123456789abcdef"})


def begin_journal(inputs: TrainInputs) -> Journal:
    with exclusive_checkpoint(inputs.key) as checkpoint:
        return workflow_runs.begin_journal(checkpoint)


def test_a_run_has_the_uncommitted_changes(project: Project, inputs: TrainInputs) -> None:
    project.change(train={"units": 5})
    with workflow_runs.live_run(begin_journal(inputs), inputs):
        pass
    diff = mlflow.artifacts.load_text(f"runs:/{runs()[0].info.run_id}/uncommitted.diff")
    assert "+  units: 5" in diff


def test_a_training_says_which_changes_its_run_will_not_have(
    project: Project, inputs: TrainInputs, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.path / "stages" / "new.py").touch()
    begin_journal(inputs)
    expected = "The diff in the run is not complete: git does not track stages/new.py\n"
    assert capsys.readouterr().out == expected


def test_the_name_of_a_run_ends_with_its_dvc_experiment(inputs: TrainInputs) -> None:
    with workflow_runs.live_run(Journal(tags={"dvc.experiment": "bold-move"}), inputs):
        pass
    new, old = runs()
    assert new.info.run_name == f"{old.info.run_name} · bold-move"


@pytest.mark.parametrize(("error", "status"), [(Interrupted, "KILLED"), (MemoryError, "FAILED")])
def test_the_status_of_a_run_says_how_its_training_ended(
    inputs: TrainInputs, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), workflow_runs.live_run(Journal(), inputs):
        raise error
    assert runs()[0].info.status == status


def test_a_training_that_resumes_has_the_same_run_even_if_it_was_deleted(
    inputs: TrainInputs,
) -> None:
    journal = Journal()
    with pytest.raises(Interrupted), workflow_runs.live_run(journal, inputs):
        raise Interrupted
    interrupted, _ = runs()
    mlflow.MlflowClient().delete_run(interrupted.info.run_id)
    with workflow_runs.live_run(journal, inputs):
        pass
    resumed, _ = runs()
    assert resumed.info.run_id == interrupted.info.run_id
    assert resumed.info.status == "FINISHED"


def test_a_store_that_dies_during_a_training_is_said_once_and_costs_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change(train={"units": 5})

    def fail(*_: object, **__: object) -> None:
        raise OSError("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "log_metrics", fail)
        run_stages(project, "train")
    assert capsys.readouterr().err.count("Logging to MLflow has stopped") == 1
    run_stages(project, "evaluate")
    whole, _ = runs()
    assert whole.info.status == "FINISHED"
    assert [step for step, _ in curve(whole.info.run_id)] == [1, 2]


def test_a_locked_database_is_said_once_and_costs_nothing(
    project: Project, inputs: TrainInputs, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(project.path / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with workflow_runs.live_run(Journal(), inputs) as run:
            run.log_new_epochs([])
        other.rollback()
    assert capsys.readouterr().err.count("Logging to MLflow has stopped") == 1


@pytest.fixture(scope="session")
def trained_once(finished_once: Project, shared: MakeProject) -> Project:
    """Return a finished project after another training, which is not evaluated yet."""

    def train(project: Project) -> None:
        project.change(train={"units": 5})
        run_stages(project, "train")

    return shared("trained", train, finished_once.path)


def test_a_run_that_is_not_evaluated_has_curves_and_no_model(
    trained_once: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(trained_once, monkeypatch)
    run, _ = runs()
    assert [step for step, _ in curve(run.info.run_id)] == [1, 2]
    assert "not evaluated yet" in run.data.tags["mlflow.note.content"]
    assert logged_models(run) == []


def test_a_training_that_runs_again_before_it_is_evaluated_has_one_run(
    trained_once: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC runs the stage again if a signal came in its last second."""
    project = use_store(trained_once.copy(tmp_path / "project"), monkeypatch)
    before = runs()
    run_stages(project, "train")
    assert [run.info.run_id for run in runs()] == [run.info.run_id for run in before]
    for name in CURVES:
        assert [step for step, _ in curve(runs()[0].info.run_id, name)] == [1, 2], name
