"""Evaluate predictions for labeled texts: their metrics, tables and plots."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.evaluation import metrics, plots
from sentiment.prediction.labels import NEGATIVE, POSITIVE, probability_column

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISTAKES = 25  # wrong predictions that are listed
TextLookup = Callable[[Iterable[int]], list[str]]  # from numbers of reviews to their texts


class Evaluation(NamedTuple):
    """The result of an evaluation.

    Attributes:
        metrics: the metrics by name.
        tables: the tables by the names of their files. `plots` likewise.
    """

    metrics: dict[str, float]
    tables: dict[str, pd.DataFrame]
    plots: dict[str, "Figure"]


def predictions_table(
    review: NDArray[np.int64],
    y: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    threshold: float,
    words: NDArray[np.int64],
    unknown_words: NDArray[np.int64],
    seen: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return the table that `sentiment.evaluation.metrics` describes.

    Args:
        review: the number of each review in its dataset, shape (reviews,), as all that follow.
        y: labels, 1 = positive.
        probabilities: probabilities of being positive, float32.
        threshold: a review with a probability above it is predicted as positive.
        words: number of words.
        unknown_words: number of words that the model cannot tell from any other unknown word.
        seen: whether the review also occurs in training.
    """
    return pd.DataFrame(
        {
            "review": review,
            "actual": metrics.class_names(y),
            "predicted": metrics.class_names(probabilities > threshold),
            probability_column(NEGATIVE): np.float32(1) - probabilities,
            probability_column(POSITIVE): probabilities,
            "words": words,
            "unknown_words": unknown_words,
            "seen_in_training": seen,
        }
    )


def evaluate_predictions(
    predictions: pd.DataFrame, texts: TextLookup | None, name: str
) -> Evaluation:
    """Compute the metrics, tables and plots that predictions define.

    Args:
        predictions: see `sentiment.evaluation.metrics`.
        texts: looks up the texts of wrong predictions. None: they are not listed.
        name: name of the model, for the titles of the plots.
    """
    mistakes = metrics.mistakes(predictions, MISTAKES)
    if texts is not None:
        mistakes = mistakes.assign(text=texts(mistakes["review"]))
    tables = {
        "predictions": predictions,
        "confusion": metrics.confusion_matrix(predictions),
        "roc": metrics.roc_curve(predictions),
        "reliability": metrics.reliability(predictions),
        "lengths": metrics.accuracy_by_length(predictions),
        "mistakes": mistakes,
    }
    values = metrics.compute_metrics(predictions)
    return Evaluation(values, tables, _plot_predictions(values, tables, name))


def _plot_predictions(
    values: Mapping[str, float], tables: Mapping[str, pd.DataFrame], name: str
) -> dict[str, "Figure"]:
    return {
        "roc": plots.draw_roc_curve(tables["roc"], values["test_roc_auc"], name),
        "reliability": plots.draw_reliability(tables["reliability"], values["test_ece"], name),
        "confusion": plots.draw_confusion_matrix(tables["confusion"], name),
        "lengths": plots.draw_length_bars(tables["lengths"], values["test_accuracy"], name),
    }


def plot_training(
    history: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame, name: str
) -> dict[str, "Figure"]:
    """Draw the curves of a training, and its gradients before and after.

    Args:
        history: see `sentiment.network.training.Training.history`.
        before: gradients before the first epoch, see `sentiment.network.gradients.distance_table`.
        after: gradients of the trained model.
        name: name of the model, for the titles of the plots.
    """
    return {
        "accuracy": plots.draw_curve(history, "accuracy", name),
        "loss": plots.draw_curve(history, "loss", name),
        "gradients": plots.draw_gradients(
            {"before the first epoch": before, "trained": after}, name
        ),
    }
