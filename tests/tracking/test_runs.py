"""A training's run has what the training depends on, and is found by its id, or by its copy."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from sentiment.errors import UserError
from sentiment.model.training import EPOCH_METRICS
from sentiment.project.files.paths import Project
from sentiment.project.files.records import read_padded_dataset, read_run_record
from sentiment.project.training.checkpoint import Checkpoint
from sentiment.project.training.machine import machine_tags
from sentiment.tracking import runs, store
from tests.logged import curve
from tests.logged import runs as all_runs
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("finished")
def test_the_run_in_the_file_has_the_params_that_its_training_reads() -> None:
    (run,) = all_runs()
    assert run.info.run_id == read_run_record(Project.here()).run_id
    params = run.data.params
    assert params["units"] == "4"
    assert params["fetch.synthetic.cue_distance"] == "25"
    assert params["evaluate.threshold"] == "0.5"
    unread = ("ngrams", "fetch.table", "threshold")
    assert not [name for name in params if name.startswith(unread)]
    sections = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/params.yaml")
    assert "units: 4" in sections


def test_a_run_has_few_tags_that_say_where_it_comes_from(finished: ProjectCopy) -> None:
    (run,) = all_runs()
    own = {name for name in run.data.tags if not name.startswith("mlflow.")}
    about_data = {"dataset", "labels", "test_set_digest", "predictions_digest"}
    assert own == {*about_data, "cores", *machine_tags()}
    assert run.data.tags["labels"] == '["negative", "positive"]'
    assert run.data.tags["mlflow.source.name"] == "stages/train.py"
    commit = finished.run("git", "rev-parse", "HEAD").strip()
    assert run.data.tags["mlflow.source.git.commit"] == commit


@pytest.mark.usefixtures("finished")
def test_a_run_has_the_three_splits_as_datasets() -> None:
    (run,) = all_runs()
    assert run.inputs is not None
    logged = {each.tags[0].value: each.dataset.name for each in run.inputs.dataset_inputs}
    assert logged == {
        "training": "synthetic-training",
        "validation": "synthetic-validation",
        "test": "synthetic-test",
    }


class AnotherTraining:
    """A training with another seed in a finished project, which is the working directory."""

    def __init__(self) -> None:
        self.project = Project.here()
        self.client = store.connect(self.project)
        self.checkpoint = Checkpoint(self.project.checkpoints / "abc")
        self.dataset = read_padded_dataset(self.project)
        training = read_run_record(self.project).training
        self.params = training.model_copy(update={"seed": 7})

    def run(self) -> Any:
        return runs.training_run(
            self.project, self.client, self.checkpoint, self.dataset, self.params, {}, "digest"
        )


@pytest.fixture
def training(project: ProjectCopy) -> AnotherTraining:  # noqa: ARG001
    """Return a training that is about to begin."""
    return AnotherTraining()


def test_the_run_of_a_training_is_noted_while_it_runs(training: AnotherTraining) -> None:
    with training.run() as record:
        assert training.client.get_run(record.run_id).info.status == "RUNNING"
        assert training.checkpoint.read_run() == record
        assert record.tags["mlflow.runName"].endswith("seed 7")
        assert "mlflow.source.git.commit" in record.tags
    assert training.client.get_run(record.run_id).info.status == "FINISHED"


def test_the_name_of_a_run_ends_with_its_dvc_experiment(
    training: AnotherTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "bold-move")
    with training.run():
        pass
    assert str(all_runs()[0].info.run_name).endswith("seed 7 · bold-move")


def test_what_the_diff_lacks_is_said_before_the_training(
    training: AnotherTraining, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path("sentiment") / "model" / "new.py").touch()
    said = "Neither the commit nor the run's diff has: sentiment/model/new.py\n"
    with training.run() as record:
        assert said in capsys.readouterr().out
    assert record.tags["unrecorded"].startswith("sentiment/model/new.py (md5 ")


def test_the_environment_chooses_neither_the_run_nor_its_experiment(
    training: AnotherTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finished,) = all_runs()
    monkeypatch.setenv("MLFLOW_RUN_ID", finished.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    with training.run() as record:
        pass
    assert record.run_id != finished.info.run_id
    assert {run.info.run_id for run in all_runs()} == {record.run_id, finished.info.run_id}
    unchanged = training.client.get_run(finished.info.run_id)
    assert unchanged.to_dictionary() == finished.to_dictionary()
    assert training.client.get_experiment_by_name("elsewhere") is None


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (MemoryError, "FAILED")]
)
def test_the_status_of_a_run_says_how_its_training_ended(
    training: AnotherTraining, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), training.run():
        raise error
    assert all_runs()[0].info.status == status


@pytest.mark.parametrize("is_deleted", [True, False], ids=["deleted", "of another store"])
def test_a_training_whose_run_is_gone_gets_another_one(
    training: AnotherTraining, is_deleted: bool
) -> None:
    with training.run() as gone:
        pass
    if is_deleted:
        training.client.delete_run(gone.run_id)
    else:
        training.checkpoint.write_run(gone.model_copy(update={"run_id": "0" * 32}))
    with training.run() as record:
        pass
    assert record.run_id == all_runs()[0].info.run_id != gone.run_id
    assert training.checkpoint.read_run() == record


def epochs(count: int) -> pd.DataFrame:
    """Return the history of a training after some epochs."""
    values = [0.1 + 0.2 * step for step in range(count)]
    return pd.DataFrame({"epoch": range(1, count + 1), **dict.fromkeys(EPOCH_METRICS, values)})


def test_each_epoch_is_logged_once(training: AnotherTraining) -> None:
    with training.run() as record:
        for count in (1, 1, 3):
            runs.log_epochs(training.client, record.run_id, epochs(count))
    for name in EPOCH_METRICS:
        points = list(zip([1, 2, 3], epochs(3)[name], strict=True))
        assert curve(record.run_id, name) == points


def test_a_run_has_the_uncommitted_changes_of_its_training(training: AnotherTraining) -> None:
    project = training.project
    splits = runs_splits(project, training)
    with training.run() as record:
        changed = record.model_copy(update={"diff": "+  units: 5"})
        runs.log_training(training.client, record.run_id, changed, splits)
    diff = mlflow.artifacts.load_text(f"runs:/{record.run_id}/uncommitted.diff")
    assert diff == "+  units: 5\n"


def runs_splits(project: Project, training: AnotherTraining) -> Any:
    from sentiment.project.files.arrays import read_training_splits

    return read_training_splits(project, training.params.section.validation_split)


def new_run(client: MlflowClient, **tags: str) -> str:
    experiment = client.get_experiment_by_name("imdb-sentiment")
    assert experiment is not None
    return str(client.create_run(experiment.experiment_id, tags=tags).info.run_id)


def test_a_run_is_found_by_the_beginning_of_its_id(empty_store: MlflowClient) -> None:
    run_id = new_run(empty_store)
    for beginning in (run_id, run_id[:8]):
        assert runs.find_run(empty_store, beginning).info.run_id == run_id


def test_a_run_is_found_after_its_experiment_was_renamed(empty_store: MlflowClient) -> None:
    run_id = new_run(empty_store)
    empty_store.rename_experiment("1", "my trainings")
    assert runs.find_run(empty_store, run_id[:8]).info.run_id == run_id


def test_the_runs_of_all_pages_are_found(empty_store: MlflowClient) -> None:
    ids = {new_run(empty_store) for _ in range(3)}
    found = runs.search_runs(empty_store, "", page_size=1)
    assert {run.info.run_id for run in found} == ids


def test_the_copy_is_found_of_a_run_that_the_store_lacks(empty_store: MlflowClient) -> None:
    copy = new_run(empty_store, original_run="a" * 32)
    for beginning in ("a" * 32, "a" * 8):
        assert runs.find_run(empty_store, beginning).info.run_id == copy


def test_several_runs_that_match_are_named(empty_store: MlflowClient) -> None:
    copies = [new_run(empty_store, original_run="a" * 32) for _ in "ab"]
    with pytest.raises(UserError, match="2 runs match aaaa: ") as raised:
        runs.find_run(empty_store, "aaaa")
    assert all(copy in str(raised.value) for copy in copies)


@pytest.mark.parametrize("run_id", ["0" * 32, "00", "%", "", "A run", "0" * 33])
def test_no_run_is_one_message(empty_store: MlflowClient, run_id: str) -> None:
    new_run(empty_store)
    with pytest.raises(UserError, match="MLflow's UI shows the ids"):
        runs.find_run(empty_store, run_id)


@pytest.mark.parametrize("digits", [8, 32])
def test_a_deleted_run_is_found_by_the_beginning_of_its_id(
    empty_store: MlflowClient, digits: int
) -> None:
    run_id = new_run(empty_store)
    empty_store.delete_run(run_id)
    with pytest.raises(UserError, match=f"{run_id} was deleted in MLflow"):
        runs.find_run(empty_store, run_id[:digits])


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_run_of_a_deleted_experiment_names_the_command_that_restores_the_experiment(
    empty_store: MlflowClient, is_restored: bool
) -> None:
    run_id = new_run(empty_store)
    empty_store.delete_experiment(empty_store.get_run(run_id).info.experiment_id)
    if is_restored:
        empty_store.restore_run(run_id)
    with pytest.raises(UserError, match="mlflow experiments restore"):
        runs.get_run(empty_store, run_id)
