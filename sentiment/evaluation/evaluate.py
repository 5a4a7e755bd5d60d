"""The evaluation of a model: its answers to the test set, and all that follows from them."""

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

TextLookup = Callable[[Iterable[int]], list[str]]


class EvalDataset(NamedTuple):
    """The test part, all but `reviews` in the order of the padded arrays, shape (reviews, …)."""

    x: NDArray[Any]  # token ids, shape (reviews, max_length)
    y: NDArray[np.uint8]  # labels, 1 = positive
    order: NDArray[np.int64]  # each review's position in `reviews`
    seen: NDArray[np.bool_]  # whether each also occurs in training
    reviews: Reviews  # without any cut, as `fetch` wrote them
    digest: str  # of x and y, short


class TrainingRecord(NamedTuple):
    """What `train` wrote, but for the model."""

    params: dict[str, Any]  # everything that shaped it, by dotted names
    history: pd.DataFrame  # see `sentiment.network.progress.TrainingResult`
    gradients: pd.DataFrame  # before the first epoch, see `sentiment.gradients.distance_table`
    run: dict[str, Any]  # the MLflow run: identity, begin and end, tags, changes without a commit


class Evaluation(NamedTuple):
    """All that follows from the predictions; tables and plots by the names of their files."""

    probabilities: NDArray[np.float32]
    metrics: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    plots: dict[str, "Figure"]


def predict_and_time(
    model: "keras.Model", x: NDArray[Any], batch_size: int
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Ask the model for each review's probability of being positive, and time that.

    `x` are token ids, shape (reviews, max_length); a step has `batch_size` of them.

    Returns:
        Probabilities, shape (reviews,), and what they took: `parameters` of the model and
        `milliseconds_per_review`.
    """
    ask = BatchPredictor(model, batch_size)
    ask(x[:LARGE_INPUT])  # which compiles all that is used
    begun = time.perf_counter()
    probabilities = ask(x)
    seconds = time.perf_counter() - begun
    cost = {"parameters": model.count_params(), "milliseconds_per_review": 1000 * seconds / len(x)}
    return probabilities, cost


def predictions_table(
    test: EvalDataset, probabilities: NDArray[np.float32], threshold: float
) -> pd.DataFrame:
    """The table that `sentiment.evaluation.metrics` describes, in the order of `test.x`."""
    return pd.DataFrame(
        {
            "review": test.order,
            "actual": metrics.class_names(test.y),
            "predicted": metrics.class_names(probabilities > threshold),
            "probability": probabilities,
            "words": test.reviews.lengths[test.order],
            "seen_in_training": test.seen,
        }
    )


def text_lookup(test: EvalDataset, words: Sequence[str]) -> TextLookup:
    """What gives the complete texts of reviews by their positions in the part; `words` by rank."""
    return lambda rows: [" ".join(words[rank] for rank in test.reviews[row]) for row in rows]


def evaluate_network(
    test: EvalDataset,
    words: list[str],
    training: TrainingRecord,
    probabilities: NDArray[np.float32],
    gradients: pd.DataFrame,
    dataset: str,
    params: EvaluateParams,
) -> Evaluation:
    """Compute every metric, table and plot of a trained network.

    Its probabilities are those of `predict`, its gradients those of
    `sentiment.gradients.distance_table`.
    """
    name = training.run["name"]
    predictions = predictions_table(test, probabilities, params.threshold)
    answered = evaluate_predictions(predictions, text_lookup(test, words), dataset, name, params)
    return Evaluation(
        probabilities,
        answered.metrics | {"gradient_reach": gradient_reach(gradients)},
        answered.tables | {"gradients": gradients},
        answered.plots | plot_training(training, gradients, params),
    )


def evaluate_predictions(
    predictions: pd.DataFrame, texts: TextLookup, dataset: str, name: str, params: EvaluateParams
) -> Evaluation:
    """Compute what follows from the answers alone, whatever model gave them.

    The columns are those of `predictions_table`; `name` is the run's, in the title of each plot.
    """
    mistakes = metrics.mistakes(predictions, params.mistakes)
    if params.log_texts:
        mistakes = mistakes.assign(text=texts(mistakes["review"]))
    tables = {
        "predictions": predictions,
        "confusion": metrics.confusion_matrix(predictions),
        "roc": metrics.roc_curve(predictions, params.roc_points),
        "reliability": metrics.reliability(predictions, params.calibration_bins),
        "lengths": metrics.accuracy_by_length(predictions, params.length_buckets),
        "mistakes": mistakes,
    }
    measured = {"dataset": dataset} | metrics.test_metrics(
        Predictions(predictions, params.calibration_bins), tables["confusion"], tables["lengths"]
    )
    probabilities = predictions["probability"].to_numpy(np.float32)
    return Evaluation(
        probabilities, measured, tables, plot_predictions(measured, tables, name, params)
    )


def plot_predictions(
    measured: dict[str, Any], tables: dict[str, pd.DataFrame], name: str, params: EvaluateParams
) -> dict[str, "Figure"]:
    """Draw what follows from the answers, each plot titled with the run's name."""
    return {
        "roc": plots.roc_curve(tables["roc"], measured["test_roc_auc"], name, params),
        "reliability": plots.reliability(tables["reliability"], measured["test_ece"], name, params),
        "confusion": plots.confusion_matrix(tables["confusion"], name, params),
        "lengths": plots.length_bars(tables["lengths"], measured["test_accuracy"], name, params),
    }


def plot_training(
    training: TrainingRecord, gradients: pd.DataFrame, params: EvaluateParams
) -> dict[str, "Figure"]:
    """Draw the curves of a training, and how far its gradients reach."""
    name, history = training.run["name"], training.history
    measured = {"before the first epoch": training.gradients, "trained": gradients}
    return {
        "accuracy": plots.curve(history, "accuracy", name, params),
        "loss": plots.curve(history, "loss", name, params),
        "gradients": plots.gradients(measured, name, params),
    }


def flatten_metrics(measured: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the metrics; a nested one is named `group_name`."""
    flat: dict[str, float] = {}
    for key, value in measured.items():
        if isinstance(value, dict):
            flat |= {f"{key}_{name}": number for name, number in value.items()}
        elif not isinstance(value, str):
            flat[key] = value
    return flat
