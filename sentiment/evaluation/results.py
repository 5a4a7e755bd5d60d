"""Evaluate predictions for labeled texts: their metrics, tables and plots."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.evaluation import gradients, metrics, plots
from sentiment.prediction.probabilities import predicted_indices
from sentiment.text.labels import probability_column
from sentiment.text.padding import Layout
from sentiment.text.reviews import Reviews

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISTAKES = 25  # wrong predictions that are listed


class Results(NamedTuple):
    """The results of an evaluation.

    Attributes:
        tables: the tables by the names of their files. `plots` likewise.
    """

    metrics: dict[str, float]
    tables: dict[str, pd.DataFrame]
    plots: dict[str, "Figure"]

    def with_texts(self, texts: Sequence[str]) -> "Results":
        """Return these results with the texts of the mistakes, in a column `text`."""
        mistakes = self.tables["mistakes"].copy()
        mistakes.insert(1, "text", texts)
        return self._replace(tables=self.tables | {"mistakes": mistakes})

    def join(self, other: "Results") -> "Results":
        """Return these results and other ones."""
        return Results(
            metrics=self.metrics | other.metrics,
            tables=self.tables | other.tables,
            plots=self.plots | other.plots,
        )


def reviews_table(
    reviews: Reviews,
    unranked_words: NDArray[np.int64],
    text_digests: NDArray[np.uint64],
    layout: Layout,
    order: NDArray[np.int64],
    seen: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return a row for each review of the test set, in the order of the padded rows.

    Args:
        reviews: the reviews, in the order of their dataset.
        unranked_words: number of words without a rank of each of them, shape (reviews,).
        text_digests: a digest of the text of each of them, shape (reviews,).
        layout: the layout of the padded rows.
        order: the review of each row, shape (reviews,).
        seen: whether the review of each row also occurs in training, shape (reviews,).

    Returns:
        The columns `review`, `text_id`, `words`, `unknown_words` and `seen_in_training`, see
        `sentiment.evaluation.metrics`.
    """
    words = reviews.lengths + unranked_words
    unknown = reviews.count_rarer(layout.max_rank) + unranked_words
    return pd.DataFrame(
        {
            "review": order,
            "text_id": [f"{digest:016x}" for digest in text_digests[order].tolist()],
            "words": words[order],
            "unknown_words": unknown[order],
            "seen_in_training": seen,
        }
    )


def predictions_table(
    reviews: pd.DataFrame,
    y: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    label_names: Sequence[str],
    threshold: float,
) -> pd.DataFrame:
    """Return the table that `sentiment.evaluation.metrics` describes.

    Args:
        reviews: see `reviews_table`.
        y: the indices of their labels, shape (reviews,).
        probabilities: of each label, shape (reviews, labels), float32.
        label_names: the names of the labels, in the order of their indices.
        threshold: see `sentiment.prediction.probabilities.predicted_indices`.
    """
    names = np.array(label_names)
    columns = {
        "actual": names[y],
        "predicted": names[predicted_indices(probabilities, threshold)],
        **{probability_column(name): probabilities[:, at] for at, name in enumerate(label_names)},
    }
    predictions = pd.DataFrame(columns, reviews.index)
    keys = ["review", "text_id"]
    return pd.concat([reviews[keys], predictions, reviews.drop(columns=keys)], axis=1)


def evaluate_predictions(predictions: pd.DataFrame) -> Results:
    """Compute the metrics, tables and plots that predictions define.

    Args:
        predictions: see `sentiment.evaluation.metrics`.
    """
    tables = {
        "predictions": predictions,
        "confusion": metrics.confusion_matrix(predictions),
        "labels": metrics.label_metrics(predictions),
        "roc": metrics.roc_curves(predictions),
        "reliability": metrics.reliability(predictions),
        "lengths": metrics.accuracy_by_length(predictions),
        "mistakes": metrics.mistakes(predictions, MISTAKES),
    }
    values = metrics.compute_metrics(predictions)
    positive = metrics.positive_label(predictions)
    return Results(values, tables, _plot_predictions(values, tables, positive))


def texts_of(mistakes: pd.DataFrame, reviews: Reviews, word_index: Mapping[str, int]) -> list[str]:
    """Return the texts of mistakes: the words of their reviews, except words without a rank.

    Args:
        mistakes: has a column `review`, the positions of the reviews.
        word_index: the frequency rank of each word.
    """
    words = {rank: word for word, rank in word_index.items()}
    return [" ".join(words[rank] for rank in reviews[at]) for at in mistakes["review"]]


def _plot_predictions(
    values: Mapping[str, float],
    tables: Mapping[str, pd.DataFrame],
    positive: str | None,
) -> dict[str, "Figure"]:
    drawn = {
        "reliability": plots.draw_reliability(tables["reliability"], values["test_ece"], positive),
        "confusion": plots.draw_confusion_matrix(tables["confusion"]),
        "lengths": plots.draw_length_bars(tables["lengths"], values["test_accuracy"]),
    }
    if not tables["roc"].empty:
        drawn["roc"] = plots.draw_roc_curves(tables["roc"], values["test_roc_auc"])
    return drawn


def plot_training(history: pd.DataFrame) -> Results:
    """Draw the curves of a training.

    Args:
        history: see `sentiment.model.training.Training.history`.
    """
    curves = {metric: plots.draw_curve(history, metric) for metric in ("accuracy", "loss")}
    return Results({}, {}, curves)


def summarize_gradients(table: pd.DataFrame) -> Results:
    """Compute how far back the gradients reach, and draw them.

    Args:
        table: see `gradients.measure_gradients`. Without a row, there is nothing to draw.
    """
    tables = {"gradients": table}
    if table.empty:
        return Results({}, tables, {})
    reach: dict[str, float] = {
        "word_gradient_reach": gradients.gradient_reach(table["mean"]),
        "word_gradient_reach_initial": gradients.gradient_reach(table["initial_mean"]),
    }
    return Results(reach, tables, {"gradients": plots.draw_gradients(table)})
