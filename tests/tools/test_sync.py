"""After `make sync` the store has all of `data/`, whichever it is and however often that runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from filelock import FileLock
from mlflow.entities import Run

from stages import pad, train
from tests.conftest import Caller, curve, runs, stand_in
from tests.project import MODEL, Project
from tools import sync
from workflow.files import sha256
from workflow.runs import lifecycle

SYNC = ("python", "-m", "tools.sync")


def logged(run: Run) -> dict[str, Any]:
    """All that the store knows of a run, but for its identity and its process."""
    client = mlflow.MlflowClient()
    metrics = {name: curve(run.info.run_id, name) for name in run.data.metrics}
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


def test_what_is_logged_already_is_left_as_it_is(project: Project, call: Caller) -> None:
    (before,) = runs()
    output = call(sync.main)
    (after,) = runs()
    assert after.to_dictionary() == before.to_dictionary()
    for tag, path in {
        "model.sha256": "train/model.keras",
        "data.x_train.sha256": "pad/x_train.npy",
    }.items():
        assert after.data.tags[tag] == sha256(Path("data", path))
    run_id = before.info.run_id
    assert f"Run {run_id}: {before.info.run_name}" in output
    page = f"http://127.0.0.1:5000/#/experiments/1/runs/{run_id}"
    assert page in output
    document = {"run_id": run_id, "name": before.info.run_name, "address": page}
    assert json.loads(project.read(*SYNC, "--json")) == document


def test_of_two_at_once_in_a_clone_elsewhere_one_makes_the_run_and_its_version_in_full(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (original,) = runs()
    before = logged(original)
    tags = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion").tags
    project.run("git", "clone", "--quiet", ".", str(tmp_path / "elsewhere"))
    clone = Project(tmp_path / "elsewhere")
    shutil.copytree(project.path / ".dvc" / "cache", clone.path / ".dvc" / "cache")
    clone.run("dvc", "checkout")
    processes = [clone.start(*SYNC) for _ in range(2)]
    printed = {process.communicate(timeout=600)[0].splitlines()[-1] for process in processes}
    assert len(printed) == 1
    stand_in(clone.path, monkeypatch)
    (restored,) = runs()
    assert restored.info.run_id != original.info.run_id
    assert restored.data.tags["restored_from"] == original.info.run_id
    assert logged(restored) == before
    assert restored.info.start_time == original.info.start_time
    assert 0 <= original.info.end_time - restored.info.end_time < 60_000
    assert mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion").tags == tags
    x = np.load(clone.path / "data/pad/x_test.npy")[:8].astype(np.int32)
    model = mlflow.pyfunc.load_model(f"runs:/{restored.info.run_id}/model")
    assert model.predict(x).shape == (8, 1)


def test_the_evaluation_of_another_model_is_not_logged(project: Project, call: Caller) -> None:
    project.change(train={"units": 5, "epochs": 1})
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
    assert f"Run {run.info.run_id} is still running: wait for it." in message
    assert runs()[0].info.status == "RUNNING"


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
