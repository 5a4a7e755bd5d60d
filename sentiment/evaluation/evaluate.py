"""Evaluate a model: its predictions for the test set, and their metrics, tables and plots."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.evaluation import metrics, plots
from sentiment.evaluation.metrics import Predictions
from sentiment.evaluation.params import EvaluateParams
from sentiment.gradients import gradient_reach
from sentiment.serving.keras_classifier import LARGE_INPUT, BatchPredictor
from sentiment.tokenizer import Reviews

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

TextLookup = Callable[[Iterable[int]], list[str]]  # from positions of reviews to their texts


class EvalDataset(NamedTuple):
    """The labeled reviews that a model is evaluated on, in the order of its predictions.

    Attributes:
        y: labels, 1 = positive, shape (reviews,).
        order: the position in `reviews` of each predicted review, shape (reviews,).
        seen: whether each predicted review also occurs in training, shape (reviews,).
        reviews: the complete reviews, as the stage `fetch` writes them.
    """

    y: NDArray[np.uint8]
    order: NDArray[np.int64]
    seen: NDArray[np.bool_]
    reviews: Reviews


class TrainingRecord(NamedTuple):
    """The record of a training.

    Attributes:
        name: name of the run.
        history: see `sentiment.network.progress.TrainingResult`.
        gradients: gradients before the first epoch, see `sentiment.gradients.distance_table`.
    """

    name: str
    history: pd.DataFrame
    gradients: pd.DataFrame


class Evaluation(NamedTuple):
    """The result of an evaluation.

    Attributes:
        probabilities: probability that each review is positive, shape (reviews,).
        metrics: the content of `metrics.json`.
        tables: the tables by the names of their files. `plots` likewise.
    """

    probabilities: NDArray[np.float32]
    metrics: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    plots: dict[str, "Figure"]


def predict_and_time(
    model: "keras.Model", x: NDArray[Any], batch_size: int
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Predict the probability that each review is positive, and measure what that costs.

    Args:
        model: see `sentiment.serving.keras_classifier.BatchPredictor`.
        x: token ids, shape (reviews, max_length).
        batch_size: number of reviews in a batch.

    Returns:
        The probabilities, shape (reviews,), and the cost: `parameters`, their number, and
        `milliseconds_per_review`.
    """
    predictor = BatchPredictor(model, batch_size)
    predictor(x[:LARGE_INPUT])  # compile the model before the measurement
    start = time.perf_counter()
    probabilities = predictor(x)
    seconds = time.perf_counter() - start
    cost = {"parameters": model.count_params(), "milliseconds_per_review": 1000 * seconds / len(x)}
    return probabilities, cost


def predictions_table(
    dataset: EvalDataset, probabilities: NDArray[np.float32], threshold: float
) -> pd.DataFrame:
    """Return the table that `sentiment.evaluation.metrics` describes.

    Args:
        dataset: the evaluated reviews.
        probabilities: the predicted probabilities, in the order of the dataset, shape (reviews,).
        threshold: a review with a probability above it is predicted as positive.
    """
    return pd.DataFrame(
        {
            "review": dataset.order,
            "actual": metrics.class_names(dataset.y),
            "predicted": metrics.class_names(probabilities > threshold),
            "probability": probabilities,
            "words": dataset.reviews.lengths[dataset.order],
            "seen_in_training": dataset.seen,
        }
    )


def text_lookup(dataset: EvalDataset, words: Sequence[str]) -> TextLookup:
    """Return a function from positions in `dataset.reviews` to the complete texts.

    Args:
        dataset: the test set.
        words: the words by rank.
    """
    reviews = dataset.reviews
    return lambda rows: [" ".join(words[rank] for rank in reviews[row]) for row in rows]


def evaluate_model(
    dataset: EvalDataset,
    words: Sequence[str],
    training: TrainingRecord,
    probabilities: NDArray[np.float32],
    gradients: pd.DataFrame,
    dataset_name: str,
    params: EvaluateParams,
) -> Evaluation:
    """Compute every metric, table and plot of a trained model.

    Args:
        dataset: the test set.
        words: the words by rank.
        training: the record of the training.
        probabilities: see `predict_and_time`.
        gradients: gradients of the trained model, see `sentiment.gradients.distance_table`.
        dataset_name: the dataset's name in MLflow.
        params: the section `evaluate`.
    """
    predictions = predictions_table(dataset, probabilities, params.threshold)
    texts = text_lookup(dataset, words)
    evaluation = evaluate_predictions(predictions, texts, dataset_name, training.name, params)
    return Evaluation(
        probabilities,
        evaluation.metrics | {"gradient_reach": gradient_reach(gradients)},
        evaluation.tables | {"gradients": gradients},
        evaluation.plots | plot_training(training, gradients),
    )


def evaluate_predictions(
    predictions: pd.DataFrame,
    texts: TextLookup,
    dataset_name: str,
    name: str,
    params: EvaluateParams,
) -> Evaluation:
    """Compute the metrics, tables and plots that predictions alone define.

    Args:
        predictions: see `predictions_table`.
        texts: see `text_lookup`.
        dataset_name: the dataset's name in MLflow.
        name: name of the run, for the titles of plots.
        params: the section `evaluate`.
    """
    mistakes = metrics.mistakes(predictions, params.mistakes)
    if params.log_texts:
        mistakes = mistakes.assign(text=texts(mistakes["review"]))
    tables = {
        "predictions": predictions,
        "confusion": metrics.confusion_matrix(predictions),
        "roc": metrics.roc_curve(predictions),
        "reliability": metrics.reliability(predictions, params.calibration_bins),
        "lengths": metrics.accuracy_by_length(predictions, params.length_buckets),
        "mistakes": mistakes,
    }
    values = {"dataset": dataset_name} | metrics.test_metrics(
        Predictions(predictions, params.calibration_bins), tables["confusion"], tables["lengths"]
    )
    return Evaluation(
        probabilities=predictions["probability"].to_numpy(np.float32),
        metrics=values,
        tables=tables,
        plots=plot_predictions(values, tables, name),
    )


def plot_predictions(
    values: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    name: str,
) -> dict[str, "Figure"]:
    """Draw the plots that predictions alone define.

    Args:
        values: the metrics, see `Evaluation`. `tables` likewise.
        tables: see `Evaluation`.
        name: name of the run, for the titles.
    """
    return {
        "roc": plots.roc_curve(tables["roc"], values["test_roc_auc"], name),
        "reliability": plots.reliability(tables["reliability"], values["test_ece"], name),
        "confusion": plots.confusion_matrix(tables["confusion"], name),
        "lengths": plots.length_bars(tables["lengths"], values["test_accuracy"], name),
    }


def plot_training(training: TrainingRecord, gradients: pd.DataFrame) -> dict[str, "Figure"]:
    """Draw the curves of a training, and its gradients before and after.

    Args:
        training: the record of the training.
        gradients: gradients of the trained model, see `sentiment.gradients.distance_table`.
    """
    name = training.name
    by_label = {"before the first epoch": training.gradients, "trained": gradients}
    return {
        "accuracy": plots.curve(training.history, "accuracy", name),
        "loss": plots.curve(training.history, "loss", name),
        "gradients": plots.gradients(by_label, name),
    }


def flatten_metrics(values: Mapping[str, Any]) -> dict[str, float]:
    """Return all numbers among metrics. A nested number is named `group_name`."""
    flat: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{key}_{name}": number for name, number in value.items()}
        elif not isinstance(value, str):
            flat[key] = value
    return flat
