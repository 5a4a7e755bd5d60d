"""Check the run that `make repro` just made on real IMDB: its accuracy, and that it is complete."""

import json
import subprocess
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run

from workflow.files import read_about

FILES = {
    "train": {"gradients.csv", "history.csv", "metrics.json"},
    "evaluate": {
        *("about.json", "metrics.json", "cost.json", "probabilities.npy", "predictions.csv"),
        *("confusion.csv", "roc.csv", "reliability.csv", "lengths.csv", "mistakes.csv"),
        *("accuracy.png", "loss.png", "roc.png", "reliability.png", "confusion.png"),
        *("lengths.png", "gradients.csv", "gradients.png"),
    },
}
CURVES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")
GRADIENTS = ("initial_gradient_norm", "gradient_norm")


def check_metrics(client: mlflow.MlflowClient, run: Run, metrics: dict[str, Any]) -> None:
    """The test metrics are there, plausible, and each curve has a point for each epoch."""
    assert (metrics["test_reviews"], metrics["test_reviews_seen"]) == (25_000, 123)
    assert 0.82 <= metrics["test_accuracy"] <= 0.90, metrics["test_accuracy"]
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"]
    for name in CURVES:
        points = client.get_metric_history(run.info.run_id, name)
        assert [point.step for point in points] == [1, 2, 3, 4, 5], name
    for name in GRADIENTS:
        points = client.get_metric_history(run.info.run_id, name)
        assert [point.step for point in points] == list(range(200)), name
        assert points[0].value == 1, name
    assert 20 <= metrics["gradient_reach"] <= 199, metrics["gradient_reach"]


def check_identity(run: Run, metrics: dict[str, Any]) -> None:
    """Status, tags, params and data sets say what the run was."""
    assert run.info.status == "FINISHED"
    assert run.data.tags["dataset"] == metrics["dataset"] == "imdb"
    command = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert run.data.tags["git.commit"] == head
    assert run.data.tags["git.uncommitted_changes"] == "none"
    assert run.data.params == {
        key: str(value) for key, value in read_about(Path("data/train"))["params"].items()
    }
    assert run.inputs is not None
    names = {dataset_input.dataset.name for dataset_input in run.inputs.dataset_inputs}
    assert names == {"imdb-training", "imdb-validation", "imdb-test"}


def check_files(client: mlflow.MlflowClient, run: Run) -> None:
    """All files of both stages are artifacts."""
    for folder, names in FILES.items():
        logged = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, folder)}
        assert logged == names, logged ^ names


def check_model(model_id: str) -> None:
    """The model loads, has a signature and an example, and answers."""
    model = mlflow.pyfunc.load_model(f"models:/{model_id}")
    assert model.metadata.signature is not None
    assert model.input_example.shape == (1, 200)
    answers = model.predict(np.load("data/pad/x_test.npy")[:8].astype(np.int32))
    assert answers.shape == (8, 1)


def check_champion(client: mlflow.MlflowClient, run: Run, metrics: dict[str, Any]) -> None:
    """The run's model is the champion, by the rule, and answers raw text."""
    version = client.get_model_version_by_alias("imdb-sentiment", "champion")
    assert version.run_id == run.info.run_id
    assert version.tags["promote.by"] == "rule"
    assert float(version.tags["test_accuracy"]) == metrics["test_accuracy"]
    texts = ["A wonderful, moving film, excellent acting.", "Dull, boring and a waste of time."]
    model = mlflow.pyfunc.load_model("models:/imdb-sentiment@champion")
    answers = model.predict(pd.DataFrame({"text": texts}))
    assert answers["label"].tolist() == ["positive", "negative"]


def main() -> None:
    """Fail with an AssertionError where the run is not as it should be."""
    identity = json.loads(Path("data/train/run.json").read_bytes())
    metrics = json.loads(Path("data/evaluate/metrics.json").read_bytes())
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    client = mlflow.MlflowClient()
    run = client.get_run(identity["run_id"])
    check_identity(run, metrics)
    check_metrics(client, run, metrics)
    check_files(client, run)
    check_model(identity["model_id"])
    check_champion(client, run, metrics)
    print(f"The run {run.info.run_name} is complete: test accuracy {metrics['test_accuracy']:.4f}")


if __name__ == "__main__":
    main()
