"""Check the run that `make repro` just made on real IMDB; the tests look at a small one's files."""

import json
import subprocess
from pathlib import Path

import mlflow
import pandas as pd

CURVES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")
GRADIENTS = ("initial_gradient_norm", "gradient_norm")


def main() -> None:
    """Fail with an AssertionError where the run is not as it should be."""
    identity = json.loads(Path("data/train/run.json").read_bytes())
    metrics = json.loads(Path("data/evaluate/metrics.json").read_bytes())
    assert (metrics["dataset"], metrics["test_reviews"]) == ("imdb", 25_000)
    assert metrics["test_reviews_seen"] == 123
    assert 0.82 <= metrics["test_accuracy"] <= 0.90, metrics["test_accuracy"]
    assert 20 <= metrics["gradient_reach"] <= 199, metrics["gradient_reach"]

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    client = mlflow.MlflowClient()
    run = client.get_run(identity["run_id"])
    command = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert run.info.status == "FINISHED"
    assert run.data.tags["git.commit"] == head
    assert run.data.tags["git.uncommitted_changes"] == "none"
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"]
    for names, steps in ((CURVES, range(1, 6)), (GRADIENTS, range(200))):
        for name in names:
            points = client.get_metric_history(run.info.run_id, name)
            assert [point.step for point in points] == list(steps), name

    version = client.get_model_version_by_alias("imdb-sentiment", "champion")
    assert (version.run_id, version.tags["promote.by"]) == (run.info.run_id, "rule")
    texts = ["A wonderful, moving film, excellent acting.", "Dull, boring and a waste of time."]
    model = mlflow.pyfunc.load_model("models:/imdb-sentiment@champion")
    answers = model.predict(pd.DataFrame({"text": texts}))
    assert answers["label"].tolist() == ["positive", "negative"]
    print(f"The run {run.info.run_name} is complete: test accuracy {metrics['test_accuracy']:.4f}")


if __name__ == "__main__":
    main()
