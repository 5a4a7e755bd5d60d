"""What a user of `dvc repro` and MLflow finds after the pipeline has run once."""

import json
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from sentiment.backend import load_keras
from tests import names
from tests.command_log import CommandLog
from tests.logged import runs

pytestmark = pytest.mark.slow


def test_the_test_accuracy_is_printed(pipeline: CommandLog) -> None:
    accuracy = json.loads(names.METRICS.read_bytes())["test_accuracy"]
    assert pipeline.printed["repro"].count(f"Test Accuracy: {accuracy:.4f}\n") == 1


def test_tensorflow_prints_no_message(pipeline: CommandLog) -> None:
    messages = re.compile(r"WARNING|oneDNN|cuda|tensorflow|^[A-Z]\d{4} ", re.MULTILINE)
    assert messages.findall(pipeline.printed["repro"]) == []


def read_lock(text: str) -> dict[str, Any]:
    """Return the entries of the stages in a dvc.lock."""
    stages: dict[str, Any] = YAML(typ="safe").load(text)["stages"]
    return stages


@pytest.mark.usefixtures("pipeline")
def test_a_run_has_the_entries_of_dvc_lock_that_its_model_was_made_with() -> None:
    (run,) = runs()
    logged = read_lock(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/dvc.lock"))
    stages = read_lock(Path("dvc.lock").read_text(encoding="utf-8"))
    assert logged == {name: stages[name] for name in ("fetch", "pad", "train")}


@pytest.mark.usefixtures("pipeline")
def test_the_network_among_the_files_of_the_model_loads_with_keras_and_predicts() -> None:
    (run,) = runs()
    (model,) = mlflow.MlflowClient().search_logged_models([run.info.experiment_id])
    path = Path(str(model.artifact_location), "artifacts", "model.keras")
    network = load_keras().saving.load_model(path)
    x = np.load(names.PAD_FOLDER / "x_test.npy").astype(np.int32)
    probability = network.predict(x, verbose=0)[:, 0]
    table = pd.read_csv(names.PREDICTIONS)
    predicted = np.where(probability > 0.5, "positive", "negative")
    assert (predicted == table["predicted"]).mean() > 0.99  # rounding may differ near the threshold


def test_dvc_shows_plots(pipeline: CommandLog) -> None:
    plots = json.loads(pipeline.project.read("dvc", "plots", "show", "--json"))["data"]
    tables = ("confusion", "gradients", "history", "lengths", "reliability", "roc")
    assert plots.keys() == {"Loss", *(f"metrics/{name}.csv" for name in tables)}
