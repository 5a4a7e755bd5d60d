"""After `make sync` the store has all of `data/`, whichever it is and however often that runs."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from filelock import FileLock
from mlflow.entities import Run

from stages import pad, train
from tests.conftest import Caller, runs, stand_in
from tests.project import MODEL, Project
from tools import sync
from workflow.files import sha256
from workflow.runs import lifecycle

SYNC = ("python", "-m", "tools.sync")


@pytest.fixture(autouse=True)
def inside(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Stand in the project that a test uses."""
    for name in ("project", "experiments"):
        if name in request.fixturenames:
            stand_in(request.getfixturevalue(name).path, monkeypatch)


def logged(run: Run) -> dict[str, Any]:
    """All that the store knows of a run, but for its identity and its process."""
    client = mlflow.MlflowClient()
    metrics = {
        name: sorted((p.step, p.value) for p in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }
    artifacts = {
        file.path: file.file_size
        for folder in ("train", "evaluate")
        for file in client.list_artifacts(run.info.run_id, folder)
    }
    own = ("process.", "model.id", "mlflow.", "restored_from", "train.checkpoint")
    tags = {key: text for key, text in run.data.tags.items() if not key.startswith(own)}
    assert run.inputs is not None
    inputs = sorted((used.tags[0].value, used.dataset.digest) for used in run.inputs.dataset_inputs)
    model = mlflow.get_logged_model(run.data.tags["model.id"])
    return {
        "name": run.info.run_name,
        "status": (run.info.status, model.status),
        "params": run.data.params,
        "metrics": metrics,
        "artifacts": artifacts,
        "tags": tags,
        "inputs": inputs,
        "linked": {(metric.key, metric.step) for metric in model.metrics or []},
    }


def version_tags() -> list[dict[str, str]]:
    """The tags of each version of the registered model."""
    versions = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")
    return [version.tags for version in versions]


def test_what_is_logged_already_is_left_as_it_is(project: Project, call: Caller) -> None:
    (before,) = runs()
    output = call(sync.main)
    (after,) = runs()
    assert after.to_dictionary() == before.to_dictionary()
    run_id = before.info.run_id
    assert f"Run {run_id}: {before.info.run_name}" in output
    page = f"http://127.0.0.1:5000/#/experiments/1/runs/{run_id}"
    assert page in output
    document = {"run_id": run_id, "name": before.info.run_name, "address": page}
    assert json.loads(project.read(*SYNC, "--json")) == document


@pytest.mark.parametrize("loss", ["run", "a clone elsewhere"])
def test_a_run_that_the_store_lacks_is_made_in_full_and_once(
    project: Project, call: Caller, loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (original,) = runs()
    before, version = logged(original), version_tags()
    if loss == "run":
        mlflow.delete_run(original.info.run_id)
        processes = [project.start(*SYNC) for _ in range(2)]  # at once
        printed = {process.communicate(timeout=240)[0].splitlines()[-1] for process in processes}
        assert len(printed) == 1
    else:
        project.run("git", "clone", "--quiet", ".", str(tmp_path / "elsewhere"))
        cache = project.path / ".dvc" / "cache"
        project = Project(tmp_path / "elsewhere")
        stand_in(project.path, monkeypatch)
        shutil.copytree(cache, project.path / ".dvc" / "cache")
        project.run("dvc", "checkout")
        call(sync.main)
    call(sync.main)
    (restored,) = runs()
    assert restored.info.run_id != original.info.run_id
    assert restored.data.tags["restored_from"] == original.info.run_id
    assert logged(restored) == before
    if loss != "run":  # else the store has the version already
        assert version_tags() == version
    assert restored.info.start_time == original.info.start_time
    assert 0 <= original.info.end_time - restored.info.end_time < 60_000
    assert restored.info.end_time > restored.info.start_time
    x = np.load(project.path / "data/pad/x_test.npy")[:8].astype(np.int32)
    model = mlflow.pyfunc.load_model(f"runs:/{restored.info.run_id}/model")
    assert model.predict(x).shape == (8, 1)


def test_a_stage_restored_from_the_cache_makes_no_run_and_keeps_its_own(
    two_runs: Project, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = two_runs.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    _, original = runs()
    project.change(train={"units": 4, "epochs": 2})
    assert "Running stage" not in project.run("dvc", "repro")
    assert f"Run {original.info.run_id}" in call(sync.main)
    assert len(runs()) == 2


def test_the_evaluation_of_another_model_is_not_logged(project: Project, call: Caller) -> None:
    project.change(train={"units": 5})
    call(train.main)
    assert "is of another model" in call(sync.main)
    assert "test_accuracy" not in runs()[0].data.metrics


def test_a_run_that_lacks_a_part_is_completed(project: Project, call: Caller) -> None:
    (run,) = runs()
    before = logged(run)
    client = mlflow.MlflowClient()
    client.delete_tag(run.info.run_id, "outputs.train")
    client.delete_tag(run.info.run_id, "outputs.evaluate")
    shutil.rmtree(project.path / "mlruns" / "1" / run.info.run_id / "artifacts")
    call(sync.main)
    (completed,) = runs()
    after = logged(completed)
    assert {key: set(points) for key, points in after.pop("metrics").items()} == {
        key: set(points) for key, points in before.pop("metrics").items()
    }
    assert after == before


def test_a_run_that_its_training_still_writes_to_is_left_alone(
    project: Project, call: Caller
) -> None:
    (run,) = runs()
    client, lock = mlflow.MlflowClient(), project.path / "lock"
    client.delete_tag(run.info.run_id, "outputs.train")
    client.update_run(run.info.run_id, status="RUNNING")
    client.set_tag(run.info.run_id, lifecycle.LOCK, str(lock))
    with FileLock(lock):
        message = call.fail(sync.main)
    assert f"still running, in process {run.data.tags[lifecycle.PROCESS]}" in message
    assert runs()[0].info.status == "RUNNING"


def test_make_repro_logs_to_a_new_store(project: Project) -> None:
    (project.path / "mlflow.db").unlink()
    output = project.run("python", "-m", "tools.repro")
    (restored,) = runs()
    assert f"Run {restored.info.run_id}" in output


def test_outputs_that_cannot_be_logged_are_one_message(project: Project, call: Caller) -> None:
    mlflow.delete_run(runs()[0].info.run_id)
    with Path("data/train/model.keras").open("ab") as file:
        file.write(b"more")
    assert "data/train/model.keras is not as the stage wrote it" in call.fail(sync.main)
    project.change(pad={"shuffle_seed": 1})
    call(pad.main)
    assert "data/pad is not what data/train was trained on" in call.fail(sync.main)
    shutil.rmtree("data/train")
    assert "data/train/about.json is missing. `dvc repro` makes it" in call.fail(sync.main)


@pytest.mark.usefixtures("project")
def test_from_a_run_to_its_files_and_from_the_files_to_the_run() -> None:
    (run,) = runs()
    tags, digest = run.data.tags, sha256(Path("data/train/model.keras"))
    assert tags["model.sha256"] == digest
    assert tags["data.x_train.sha256"] == sha256(Path("data/pad/x_train.npy"))
    assert tags["data.y_train.sha256"] == sha256(Path("data/pad/y_train.npy"))
    assert tags["outputs.train"] == sha256(Path("data/train/about.json"))
    assert tags["outputs.evaluate"] == sha256(Path("data/evaluate/about.json"))
    for name in ("python", "tensorflow", "keras", "numpy"):
        assert re.match(r"\d+\.\d+", tags[f"{name}.version"])
    assert tags["processor.features"]
    query = f"tags.`model.sha256` = '{digest}'"
    (same,) = mlflow.search_runs(["1"], query, output_format="list")
    assert same.info.run_id == run.info.run_id
    files = mlflow.MlflowClient().list_artifacts(run.info.run_id, "train")
    assert "train/uncommitted.diff" not in {file.path for file in files}


def test_a_queued_experiment_is_complete_in_the_one_store_under_its_name(
    experiments: Project,
) -> None:
    assert "Success" in experiments.run("dvc", "queue", "status")
    table = csv.DictReader(io.StringIO(experiments.run("dvc", "exp", "show", "--csv")))
    (row,) = (row for row in table if row["Experiment"] == "six")
    run, _ = runs()
    assert run.data.tags["dvc.experiment"] == "six"
    assert run.info.run_name is not None
    assert run.info.run_name.endswith("six")
    assert run.info.status == "FINISHED"
    assert run.data.params["train.units"] == row["train.units"]
    for metric in ("test_accuracy", "test_loss"):
        assert run.data.metrics[metric] == pytest.approx(float(row[metric]), rel=1e-4)
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert sorted(point.step for point in points) == [1, 2]
    assert mlflow.get_logged_model(run.data.tags["model.id"]).status == "READY"
    path = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/evaluate/accuracy.png")
    assert Path(path).read_bytes().startswith(b"\x89PNG")
    assert experiments.run("git", "status", "--porcelain") == ""
