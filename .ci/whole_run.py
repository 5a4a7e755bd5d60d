"""Check the run that `make repro` just made on real IMDB: its accuracy, and that it is whole."""

import json
from pathlib import Path

import mlflow
import numpy as np

FILES = {
    "train": {"history.csv", "metrics.json"},
    "evaluate": {
        *("about.json", "metrics.json", "predictions.csv", "confusion.csv", "roc.csv"),
        *("lengths.csv", "mistakes.csv", "accuracy.png", "loss.png", "roc.png"),
        *("confusion.png", "lengths.png"),
    },
}
CURVES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")


def main() -> None:
    """Fail with an AssertionError where the run is not as it should be."""
    identity = json.loads(Path("data/train/run.json").read_bytes())
    metrics = json.loads(Path("data/evaluate/metrics.json").read_bytes())
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    client = mlflow.MlflowClient()
    run = client.get_run(identity["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["dataset"] == metrics["dataset"] == "imdb"
    assert (metrics["test_reviews"], metrics["test_reviews_seen"]) == (25_000, 123)
    assert 0.82 <= metrics["test_accuracy"] <= 0.90, metrics["test_accuracy"]
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"]
    for name in CURVES:
        points = client.get_metric_history(identity["run_id"], name)
        assert [point.step for point in points] == [1, 2, 3, 4, 5], name
    for folder, names in FILES.items():
        logged = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, folder)}
        assert logged == names, logged ^ names
    model = mlflow.pyfunc.load_model(f"models:/{identity['model_id']}")
    answers = model.predict(np.load("data/pad/x_test.npy")[:8].astype(np.int32))
    assert answers.shape == (8, 1)
    print(f"The run {run.info.run_name} is whole: test accuracy {metrics['test_accuracy']:.4f}")


if __name__ == "__main__":
    main()
