"""Results are logged to the run of their training, and no value of a run ever changes."""

import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from sentiment.errors import UserError
from sentiment.params import EvaluateParams
from sentiment.project.files.documents import read_json, write_json
from sentiment.project.files.paths import METRICS_FILE, PARAMS_FILE, PREDICTIONS_FILE, Project
from sentiment.project.files.records import read_record, read_run_record, write_record
from sentiment.tracking import address, loading, models, results, store
from sentiment.tracking.address import StoreError
from sentiment.tracking.results import check_results, log_results
from tests.command import Command
from tests.locks import write_lock
from tests.logged import curve, runs
from tests.small_project import ProjectCopy, run_stages

pytestmark = pytest.mark.slow


class Results:
    """The results in the working directory."""

    def __init__(self) -> None:
        self.project = Project.here()
        self.client = store.connect(self.project)
        self.metrics: dict[str, float] = read_json(self.project.evaluated / METRICS_FILE)

    def log(self, **changes: float) -> str:
        """Log the results with some other values, and return the id of their run."""
        threshold = changes.pop("threshold", 0.5)
        record = read_run_record(self.project)
        metrics = self.metrics | changes
        run = log_results(self.project, self.client, record, threshold, metrics)
        return str(run.info.run_id)

    def models(self, run_id: str) -> list[Any]:
        """Return the states of the models that a run has."""
        (experiment_id,) = {run.info.experiment_id for run in runs()}
        found = self.client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
        return [(model.name, str(model.status)) for model in found]


@pytest.fixture
def finished_results(project: ProjectCopy) -> Results:  # noqa: ARG001
    """Return the results of a finished project, which may be changed."""
    return Results()


@pytest.fixture
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log no model, which takes a second."""
    monkeypatch.setattr(models, "log_model", lambda *_: None)


def content(run_id: str, name: str) -> str:
    return mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")


def test_results_that_a_run_has_are_logged_again_without_a_change_of_any_value(
    finished_results: Results,
) -> None:
    (before,) = runs()
    assert finished_results.log() == before.info.run_id
    (after,) = runs()
    assert after.data.metrics == before.data.metrics
    assert after.data.params == before.data.params
    assert curve(after.info.run_id) == curve(before.info.run_id)
    assert finished_results.models(after.info.run_id) == [("sentiment", "READY")]
    assert after.info.end_time == before.info.end_time


def test_an_evaluation_with_the_same_metrics_replaces_tables_and_plots(
    finished_results: Results,
) -> None:
    (run,) = runs()
    (finished_results.project.evaluated / "mistakes.csv").write_text("without texts")
    finished_results.log()
    assert content(run.info.run_id, "mistakes.csv") == "without texts"


@pytest.mark.usefixtures("without_models")
def test_predictions_with_other_bits_are_logged_to_a_copy(finished_results: Results) -> None:
    """Another processor may change the last bits, and no metric with six decimals."""
    (original,) = runs()
    path = finished_results.project.evaluated / PREDICTIONS_FILE
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("0.", "0.0", 1), encoding="utf-8")
    copy_id = finished_results.log()
    assert copy_id != original.info.run_id
    assert content(original.info.run_id, PREDICTIONS_FILE) == before
    assert finished_results.log() == copy_id


@pytest.mark.parametrize("change", [{"test_accuracy": 0.25}, {"threshold": 0.75}])
def test_an_evaluation_with_other_values_gets_a_copy_of_the_run(
    finished_results: Results, change: dict[str, float]
) -> None:
    (before,) = runs()
    copy_id = finished_results.log(**change)
    original = finished_results.client.get_run(before.info.run_id)
    copy = finished_results.client.get_run(copy_id)
    assert original.data.to_dictionary() == before.data.to_dictionary()
    assert copy.data.tags["original_run"] == before.info.run_id
    assert copy.info.status == "FINISHED"
    assert copy.info.run_name == before.info.run_name
    assert curve(copy_id) == curve(before.info.run_id)
    assert finished_results.models(copy_id) == [("sentiment", "READY")]
    values = copy.data.metrics | {"threshold": float(copy.data.params["evaluate.threshold"])}
    assert values.items() >= change.items()


@pytest.mark.usefixtures("without_models")
def test_each_evaluation_finds_its_run_again(finished_results: Results) -> None:
    original = finished_results.log()
    copy = finished_results.log(test_accuracy=0.25)
    assert finished_results.log() == original
    assert finished_results.log(test_accuracy=0.25) == copy
    assert len(runs()) == 2


@pytest.mark.usefixtures("without_models")
def test_two_evaluations_at_the_same_time_get_a_copy_each(
    finished_results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two queued experiments evaluate the same training with other thresholds."""
    log_trained_files = results.log_trained_files

    def log_another(*arguments: Any) -> None:
        monkeypatch.setattr(results, "log_trained_files", log_trained_files)
        finished_results.log(test_accuracy=0.75)
        log_trained_files(*arguments)

    monkeypatch.setattr(results, "log_trained_files", log_another)
    finished_results.log(test_accuracy=0.25)
    another, copy, _ = runs()
    assert curve(copy.info.run_id, "test_accuracy") == [(0, 0.25)]
    assert curve(another.info.run_id, "test_accuracy") == [(0, 0.75)]


def end_at(patch: pytest.MonkeyPatch, method: str) -> None:
    """Let the process end at the next call of a method of MLflow's client."""

    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    patch.setattr(MlflowClient, method, end)


@pytest.mark.parametrize("method", ["log_batch", "log_artifacts", "set_terminated"])
def test_a_copy_that_was_cut_short_is_completed_by_the_same_call(
    finished_results: Results, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    change = {"test_accuracy": 0.25}
    with monkeypatch.context() as patch:
        end_at(patch, method)
        with pytest.raises(KeyboardInterrupt):
            finished_results.log(**change)
    copy_id = finished_results.log(**change)
    assert len(runs()) == 2
    copy = finished_results.client.get_run(copy_id)
    assert copy.info.status == "FINISHED"
    assert copy.data.metrics["test_accuracy"] == 0.25
    assert "Test accuracy" in copy.data.tags["mlflow.note.content"]
    assert finished_results.models(copy_id) == [("sentiment", "READY")]
    assert len(curve(copy_id)) == 2


def test_a_store_that_fails_is_one_message(
    finished_results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'boto3'")

    monkeypatch.setattr(MlflowClient, "log_artifacts", fail)
    with pytest.raises(StoreError, match="boto3"):
        finished_results.log()


def test_a_model_that_was_cut_short_is_logged_again(
    finished_results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        end_at(patch, "finalize_logged_model")
        with pytest.raises(KeyboardInterrupt):
            finished_results.log(test_accuracy=0.25)
    copy_id = finished_results.log(test_accuracy=0.25)
    states = [state for _, state in finished_results.models(copy_id)]
    assert states.count("READY") == 1


def test_a_store_that_lacks_the_run_gets_a_copy_with_the_uncommitted_changes(
    finished_results: Results,
    empty_store_once: Path,
    sentiment: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store may be another machine's, or was deleted."""
    monkeypatch.setattr(results, "changed_outputs", lambda _: [])
    (original,) = runs()
    project = finished_results.project
    record = read_run_record(project)
    write_record(project.run_file, record.model_copy(update={"diff": "+x = 1"}))
    shutil.copy(empty_store_once / address.DATABASE, "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    sentiment("log")
    (copy,) = runs()
    assert copy.data.metrics == original.data.metrics
    assert copy.data.params == original.data.params
    assert copy.data.tags["original_run"] == original.info.run_id
    commit = "mlflow.source.git.commit"
    assert copy.data.tags[commit] == original.data.tags[commit]
    assert content(copy.info.run_id, "uncommitted.diff") == "+x = 1\n"


def test_a_run_that_was_deleted_is_one_message(finished_results: Results) -> None:
    (run,) = runs()
    finished_results.client.delete_run(run.info.run_id)
    ways = r"(?s)was deleted in MLflow.*mlflow runs restore --run-id.*dvc repro --force"
    with pytest.raises(UserError, match=ways):
        finished_results.log()


@pytest.mark.parametrize("name", ["pad/y_train.npy", "train/model.keras", "train/config.json"])
def test_arrays_and_models_of_another_run_are_refused(finished_results: Results, name: str) -> None:
    project = finished_results.project
    record = read_run_record(project)
    check_results(project, record)
    path = project.folder / "data" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match=rf"^{path.parent} does not belong to run {record.run_id}"):
        check_results(project, record)


def test_a_run_has_the_stages_of_dvc_lock_that_its_model_was_made_with(
    finished_results: Results,
) -> None:
    project = finished_results.project
    write_lock(project, project.run_file)
    run_id = finished_results.log()
    lock = content(run_id, "dvc.lock")
    assert [name for name in ("fetch:", "pad:", "train:", "evaluate:") if name in lock] == [
        "fetch:",
        "pad:",
        "train:",
    ]
    card = finished_results.client.get_run(run_id).data.tags["mlflow.note.content"]
    assert f"mlflow artifacts download --run-id {run_id} --artifact-path dvc.lock" in card


def test_the_command_log_logs_what_the_store_lacks_and_says_which_run_has_it(
    finished_results: Results, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "changed_outputs", lambda _: [])
    (run,) = runs()
    printed = sentiment("log").splitlines()
    accuracy = finished_results.metrics["test_accuracy"]
    assert printed[:2] == [
        f"Test Accuracy: {accuracy:.4f}",
        f"Run {run.info.run_id[:8]}, {run.info.run_name}, is in MLflow: `make ui`",
    ]
    assert len(runs()) == 1


@pytest.mark.usefixtures("without_models")
def test_the_command_log_takes_the_threshold_of_the_evaluation(
    finished_results: Results, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "changed_outputs", lambda _: [])
    path = finished_results.project.evaluated / PARAMS_FILE
    params = read_record(path, EvaluateParams)
    write_json(path, params.model_dump() | {"threshold": 0.75})
    sentiment("log")
    copy, _ = runs()
    assert copy.data.params["evaluate.threshold"] == "0.75"


@pytest.mark.usefixtures("finished_results")
def test_the_command_log_refuses_results_that_dvc_lock_does_not_describe(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "changed_outputs", lambda _: ["data/train"])
    printed = sentiment.fail("log")
    assert "dvc.lock describes other results than these: data/train. Run `dvc repro`." in printed
    assert len(runs()) == 1


def test_an_evaluation_with_another_threshold_leaves_the_run_of_its_training_as_it_was(
    project: ProjectCopy,
) -> None:
    (before,) = runs()
    project.change(evaluate={"threshold": 0.9})
    run_stages(project, "evaluate")
    copy, original = runs()
    assert original.data.metrics == before.data.metrics
    assert copy.data.params["evaluate.threshold"] == "0.9"
    (found,) = [
        model
        for model in MlflowClient().search_logged_models([copy.info.experiment_id])
        if model.source_run_id == copy.info.run_id
    ]
    assert loading.load_model(found.model_uri).threshold == 0.9
