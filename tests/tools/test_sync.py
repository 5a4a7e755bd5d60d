"""After `make sync`, the tracking store has all of `data/`, whatever it had before."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from stages import train
from tests.conftest import Caller, curve, runs, stand_in
from tests.project import MODEL, Project
from tools import sync

pytestmark = pytest.mark.slow
SYNC = ("python", "-m", "tools.sync")


def logged_content(run: Run) -> dict[str, Any]:
    """Return everything that the store has about a run, except its id."""
    client = mlflow.MlflowClient()
    artifacts = {
        file.path: file.file_size
        for folder in ("train", "evaluate")
        for file in client.list_artifacts(run.info.run_id, folder)
    }
    models = [
        model
        for model in client.search_logged_models([run.info.experiment_id])
        if model.source_run_id == run.info.run_id
    ]
    assert run.inputs
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "metrics": {name: curve(run.info.run_id, name) for name in run.data.metrics},
        "artifacts": artifacts,
        "tags": {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")},
        "datasets": sorted(
            (used.tags[0].value, used.dataset.name, used.dataset.digest, used.dataset.profile)
            for used in run.inputs.dataset_inputs
        ),
        "models": sorted(
            (
                model.name,
                str(model.status),
                tuple(sorted(model.params.items())),
                tuple(sorted({(metric.key, metric.step) for metric in model.metrics or []})),
            )
            for model in models
        ),
    }


@pytest.mark.usefixtures("project")
def test_complete_run_is_left_as_it_is(call: Caller) -> None:
    (before,) = runs()
    call(sync.main)
    (after,) = runs()
    assert after.to_dictionary() == before.to_dictionary()


@pytest.mark.usefixtures("project")
def test_run_is_printed_with_its_page_for_a_reader_and_a_script(call: Caller) -> None:
    (run,) = runs()
    page = f"http://127.0.0.1:5000/#/experiments/1/runs/{run.info.run_id}"
    assert f"Run {run.info.run_id}: {run.info.run_name}\n{page}\n" in call(sync.main)
    document = {"run_id": run.info.run_id, "name": run.info.run_name, "url": page}
    assert call.json(sync.main) == document


def test_two_commands_at_once_in_another_clone_create_one_complete_run(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (original,) = runs()
    before = logged_content(original)
    tags = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion").tags
    project.run("git", "clone", "--quiet", ".", str(tmp_path / "elsewhere"))
    clone = Project(tmp_path / "elsewhere")
    shutil.copytree(project.path / ".dvc" / "cache", clone.path / ".dvc" / "cache")
    clone.run("dvc", "checkout")
    processes = [clone.start(*SYNC) for _ in range(2)]
    printed = {process.communicate(timeout=600)[0].splitlines()[-1] for process in processes}
    assert len(printed) == 1
    stand_in(clone.path, monkeypatch)
    (created,) = runs()
    assert created.info.run_id != original.info.run_id
    assert logged_content(created) == before
    assert mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion").tags == tags
    x = np.load(clone.path / "data/pad/x_test.npy")[:8].astype(np.int32)
    model = mlflow.pyfunc.load_model(f"runs:/{created.info.run_id}/model")
    assert model.predict(x).shape == (8, 1)


def test_incomplete_run_is_completed_without_duplicates(project: Project, call: Caller) -> None:
    (run,) = runs()
    before = logged_content(run)
    client = mlflow.MlflowClient()
    for folder in ("train", "evaluate"):
        client.delete_tag(run.info.run_id, f"outputs.{folder}")
    client.update_run(run.info.run_id, "KILLED")
    shutil.rmtree(project.path / "mlruns" / "1" / run.info.run_id / "artifacts")
    call(sync.main)
    (completed,) = runs()
    assert logged_content(completed) == before


@pytest.mark.usefixtures("project")
def test_run_that_was_deleted_is_created_again(call: Caller) -> None:
    (run,) = runs()
    before = logged_content(run)
    mlflow.delete_run(run.info.run_id)
    call(sync.main)
    (created,) = runs()
    assert created.info.run_id != run.info.run_id
    assert logged_content(created) == before


def test_evaluation_of_another_model_is_not_logged(project: Project, call: Caller) -> None:
    about = Path("data/evaluate/about.json")
    document = json.loads(about.read_bytes())
    del document["train"]["units"]  # another commit may have written such a file
    about.write_text(json.dumps(document), encoding="utf-8")
    project.change(train={"units": 5, "epochs": 1})
    call(train.main)
    call(sync.main)
    newest = runs()[0]
    assert newest.data.params["train.units"] == "5"
    assert "test_accuracy" not in newest.data.metrics


@pytest.mark.usefixtures("project")
def test_changed_or_missing_outputs_are_one_message(call: Caller) -> None:
    mlflow.delete_run(runs()[0].info.run_id)
    with Path("data/train/model.keras").open("ab") as file:
        file.write(b"more")
    assert "data/train/model.keras differs from what the stage wrote" in call.fail(sync.main)
    shutil.rmtree("data/train")
    assert "data/train/about.json is missing. `dvc repro` makes it" in call.fail(sync.main)
