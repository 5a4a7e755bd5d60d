"""A model's predictions for labeled texts, and its metrics on them next to those on its test set.

Tables of predictions are as `sentiment.evaluation.metrics` describes them. `review` is the number
of the row, from 1. The column `text` has the texts of wrong predictions, if they are known. The
column `seen_in_training` is left out if it is not known which texts are in the training set.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common.intervals import CONFIDENCE, metric_interval
from sentiment.data.rows import Row
from sentiment.evaluation.evaluate import (
    EvalDataset,
    Evaluation,
    evaluate_predictions,
    predictions_table,
)
from sentiment.evaluation.metrics import METRICS, Interval, Predictions, class_names, metrics_for
from sentiment.evaluation.params import EvaluateParams
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import Reviews, encode, review_hashes
from workflow.serving.prediction_log import LogLine, parse_line

REQUEST_ID = "request_id"  # column of a file of labels
SEEN = "seen_in_training"
SEEN_METRICS = ("test_accuracy_unseen", "test_reviews_seen")  # metrics that need that column
BATCH_ROWS = 2000  # texts in memory


class MetricComparison(NamedTuple):
    """A metric on the texts and on the model's own test set.

    Attributes:
        value: the metric on the texts.
        interval: its confidence interval, if the metric is a proportion.
        test_value: the metric on the test set.
    """

    value: float
    interval: Interval | None
    test_value: float


def predict_rows(
    model: SentimentModel,
    rows: Iterable[Row],
    is_positive: Callable[[Row], bool],
    known: NDArray[np.uint64] | None,
) -> pd.DataFrame:
    """Predict labeled texts.

    Args:
        model: the model.
        rows: the texts.
        is_positive: a function that returns whether a row has the positive label.
        known: hashes of the reviews that the model was trained on, shape (reviews,). None if they
            are not known.

    Returns:
        A table of predictions.
    """
    remaining = iter(rows)
    parts: list[pd.DataFrame] = []
    while batch := list(islice(remaining, BATCH_ROWS)):
        parts.append(_predict_batch(model, batch, is_positive, known))
    if not parts:  # a table without rows has the same columns
        parts.append(_predict_batch(model, [], is_positive, known))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(review=np.arange(1, len(table) + 1))


def _predict_batch(
    model: SentimentModel,
    rows: Sequence[Row],
    is_positive: Callable[[Row], bool],
    known: NDArray[np.uint64] | None,
) -> pd.DataFrame:
    labels = np.array([is_positive(row) for row in rows], np.uint8)
    texts = pd.Series([row.text for row in rows], dtype="str")
    ranks = [encode(text, model.word_index, model.tokenizer).ranks for text in texts]
    reviews = Reviews.from_lists(ranks, labels)
    seen = np.zeros(len(rows), np.bool_)
    if known is not None:
        seen = np.isin(review_hashes(reviews), known)
    dataset = EvalDataset(y=labels, order=np.arange(len(rows)), seen=seen, reviews=reviews)
    predictions = model.predict_texts(texts.tolist())
    probabilities = np.array([one.probability for one in predictions], np.float32)
    table = predictions_table(dataset, probabilities, model.threshold)
    if known is None:
        table = table.drop(columns=SEEN)
    return table.assign(text=texts.where(table["actual"] != table["predicted"], ""))


def read_logged(
    paths: Iterable[Path], version: str, labels: Mapping[str, bool], threshold: float
) -> tuple[pd.DataFrame, list[str]]:
    """Read a version's predictions from a log.

    Args:
        paths: the files of the log.
        version: the URI of the version.
        labels: whether the text of a request is positive, by the request's id.
        threshold: a text with a probability above it is positive.

    Returns:
        A table of predictions, and the ids that do not have exactly one prediction.
    """
    logged: defaultdict[str, dict[float, LogLine]] = defaultdict(dict)
    for path in paths:
        with path.open("rb") as file:
            for line in map(parse_line, file):
                if line and line.request_id in labels and line.version == version:
                    logged[line.request_id][line.probability] = line
    found = {request_id: list(lines.values()) for request_id, lines in logged.items()}
    lines = {request_id: same[0] for request_id, same in found.items() if len(same) == 1}
    missing = [request_id for request_id in labels if request_id not in lines]
    probability = np.array([line.probability for line in lines.values()], np.float32)
    table = pd.DataFrame({"words": [line.words for line in lines.values()]})
    table = table.assign(
        review=np.arange(1, len(table) + 1),
        actual=class_names(np.array([labels[request_id] for request_id in lines])),
        predicted=class_names(probability > threshold),
        probability=probability,
        text=[line.text or "" for line in lines.values()],
    )
    return table, missing


def evaluate_table(
    predictions: pd.DataFrame, dataset_name: str, name: str, params: EvaluateParams
) -> Evaluation:
    """Compute the metrics, tables and plots of a table of predictions.

    Metrics of texts outside the training set are left out if it is not known which ones they are.

    Args:
        predictions: the table of predictions.
        dataset_name: the dataset's name in MLflow.
        name: name of the run, for the titles of plots.
        params: the section `evaluate`.
    """
    texts = predictions.set_index("review")["text"]
    is_seen_known = SEEN in predictions
    rows = predictions.drop(columns="text")
    if not is_seen_known:
        rows = rows.assign(seen_in_training=False)
    evaluation = evaluate_predictions(
        rows,
        lambda reviews: [texts[review] for review in reviews],
        dataset_name,
        name,
        params,
    )
    if not is_seen_known:
        for metric in SEEN_METRICS:
            del evaluation.metrics[metric]
        for table in ("predictions", "mistakes"):
            evaluation.tables[table] = evaluation.tables[table].drop(columns=SEEN)
    return evaluation


def compare_metrics(on_file: Predictions, on_test_set: Predictions) -> dict[str, MetricComparison]:
    """Compare the metrics on the texts with those on the model's own test set.

    Args:
        on_file: predictions for the texts.
        on_test_set: predictions for the test set.

    Returns:
        The comparison of each metric, by its name.
    """
    return {
        name: MetricComparison(
            value=metric.compute(on_file),
            interval=metric_interval(metric, on_file, CONFIDENCE),
            test_value=metric.compute(on_test_set),
        )
        for name, metric in metrics_for("file").items()
    }


def format_metrics(metrics: Mapping[str, MetricComparison]) -> str:
    """Format the metrics as a table, one metric a line."""
    level = f"{100 * CONFIDENCE:g}%"
    lines = [f"{'':18}{'here':>8}  {level:17}{'test set':>9}"]
    for name, (value, interval, test_value) in metrics.items():
        shown = f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
        lines.append(f"{METRICS[name].label:18}{value:8.4f}  {shown:17}{test_value:9.4f}")
    return "\n".join(lines)
