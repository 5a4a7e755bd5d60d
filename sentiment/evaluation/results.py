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
KEYS = ("row", "id", "text_id")  # say which text it is; of these, `id` is not in each table


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
        keys = [key for key in ("row", "id") if key in mistakes]
        mistakes.insert(len(keys), "text", texts)
        return self._replace(tables=self.tables | {"mistakes": mistakes})

    def join(self, other: "Results") -> "Results":
        """Return these results and other ones."""
        return Results(
            metrics=self.metrics | other.metrics,
            tables=self.tables | other.tables,
            plots=self.plots | other.plots,
        )


def texts_table(
    reviews: Reviews,
    test_rows: pd.DataFrame,
    layout: Layout,
    order: NDArray[np.int64],
) -> pd.DataFrame:
    """Return a row for each text of the test set, in the order of the padded rows.

    Args:
        reviews: the texts as word ranks, in the order of their dataset.
        test_rows: see `sentiment.data.encoded.EncodedDataset`.
        layout: the layout of the padded rows.
        order: the position in `reviews` of each padded row, shape (texts,).

    Returns:
        The columns `row`, `id` if `test_rows` has it, `text_id`, `words`, `unknown_words` and
        `seen_in_training`, see `sentiment.evaluation.metrics`.
    """
    unranked = test_rows["unranked_words"].to_numpy()
    words = reviews.lengths + unranked
    unknown = reviews.count_rarer(layout.max_rank) + unranked
    keys = test_rows[[key for key in KEYS if key in test_rows]]
    ids = [f"{digest:016x}" for digest in test_rows["text_id"].tolist()]
    table = keys.assign(
        text_id=ids,
        words=words,
        unknown_words=unknown,
        seen_in_training=test_rows["seen_in_training"],
    )
    return table.iloc[order].reset_index(drop=True)


def predictions_table(
    texts: pd.DataFrame,
    y: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    label_names: Sequence[str],
    threshold: float,
) -> pd.DataFrame:
    """Return the table that `sentiment.evaluation.metrics` describes.

    Args:
        texts: what `texts_table` returns.
        y: the indices of their labels, shape (texts,).
        probabilities: of each label, shape (texts, labels), float32.
        label_names: the names of the labels, in the order of their indices.
        threshold: the positive label of two is predicted if its probability is above it.
    """
    names = np.array(label_names)
    columns = {
        "actual": names[y],
        "predicted": names[predicted_indices(probabilities, threshold)],
        **{probability_column(name): probabilities[:, at] for at, name in enumerate(label_names)},
    }
    predictions = pd.DataFrame(columns, texts.index)
    keys = [key for key in KEYS if key in texts]
    return pd.concat([texts[keys], predictions, texts.drop(columns=keys)], axis=1)


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


def rebuild_texts(
    reviews: Reviews, positions: Sequence[int], word_index: Mapping[str, int]
) -> list[str]:
    """Return the words of some reviews whose texts are not available, except unranked words.

    Args:
        positions: the positions of the reviews.
        word_index: the frequency rank of each word.
    """
    words = {rank: word for word, rank in word_index.items()}
    return [" ".join(words[rank] for rank in reviews[at]) for at in positions]


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
        history: columns `epoch`, `accuracy`, `loss`, `val_accuracy` and `val_loss`.
    """
    curves = {metric: plots.draw_curve(history, metric) for metric in ("accuracy", "loss")}
    return Results({}, {}, curves)


def summarize_gradients(table: pd.DataFrame) -> Results:
    """Compute how far back the gradients reach, and draw them.

    Args:
        table: columns `distance`, `mean`, `low`, `high` and `initial_mean`. Without a row, there is
            nothing to draw.
    """
    tables = {"gradients": table}
    if table.empty:
        return Results({}, tables, {})
    reach: dict[str, float] = {
        "word_gradient_reach": gradients.gradient_reach(table["mean"]),
        "word_gradient_reach_initial": gradients.gradient_reach(table["initial_mean"]),
    }
    return Results(reach, tables, {"gradients": plots.draw_gradients(table)})
