"""The metrics of predictions for labeled texts, beside those of a version's own test set."""

import tempfile
from pathlib import Path

import pandas as pd

from extras.common.predicted_texts import write_private_csv
from sentiment.evaluation.evaluate import Results, evaluate_predictions
from sentiment.evaluation.metrics import CONFIDENCE, METRICS, Metric, is_positive, positive_label

UNSEEN = "accuracy_unseen"  # left out: it is not known which texts the version was trained on


def evaluate(predictions: pd.DataFrame, title: str, with_texts: bool) -> Results:
    """Compute the metrics, tables and plots of predictions.

    Args:
        predictions: see `extras.evaluate_file.labeled`.
        title: for the titles of the plots.
        with_texts: list the texts of wrong predictions, as far as they are known.
    """
    texts = predictions.set_index("review")["text"].fillna("")
    evaluation = evaluate_predictions(
        predictions.drop(columns="text"),
        (lambda reviews: texts[list(reviews)].tolist()) if with_texts else None,
        title,
    )
    del evaluation.metrics[f"test_{UNSEEN}"]
    return evaluation


def describe_texts(predictions: pd.DataFrame) -> str:
    """Say how many texts there are."""
    share = is_positive(predictions, "actual").mean()
    return f"{len(predictions):,} texts, {share:.0%} of them {positive_label(predictions)}"


def compare_metrics(predictions: pd.DataFrame, test_set: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each metric, as texts: its name, and its values with intervals."""
    metrics = [metric for name, metric in METRICS.items() if name != UNSEEN]
    interval = f"{CONFIDENCE:.0%} interval"
    return pd.DataFrame(
        {
            "metric": [metric.label for metric in metrics],
            "here": [f"{metric.compute(predictions):.4f}" for metric in metrics],
            f"{interval} ": [format_interval(metric, predictions) for metric in metrics],
            "test set": [f"{metric.compute(test_set):.4f}" for metric in metrics],
            interval: [format_interval(metric, test_set) for metric in metrics],
        }
    )


def format_interval(metric: Metric, predictions: pd.DataFrame) -> str:
    """Return the confidence interval of a metric, or "" if it has none."""
    interval = metric.interval(predictions, CONFIDENCE)
    return f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""


def log_result(evaluation: Results) -> None:
    """Log metrics, predictions, wrong predictions and plots to the active run."""
    import mlflow

    mlflow.log_metrics(evaluation.metrics)
    for name, plot in evaluation.plots.items():
        mlflow.log_figure(plot, f"{name}.png")
    mlflow.log_text(evaluation.tables["predictions"].to_csv(index=False), "predictions.csv")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mistakes.csv"
        write_private_csv(path, evaluation.tables["mistakes"], "text")
        mlflow.log_artifact(str(path))  # a local store copies the permissions, too
