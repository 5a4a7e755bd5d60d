"""The data and the evaluation of models that read a review's words, not a row of token ids."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

from sentiment.evaluation.evaluate import (
    EvalDataset,
    evaluate_predictions,
    predictions_table,
    text_lookup,
)
from sentiment.network.batches import train_validation_split
from sentiment.padding import seen_in_training, shuffle_orders
from sentiment.tokenizer import Reviews
from workflow import files, outputs, publish, tracking
from workflow.about import AboutEvaluate, read_about, write_about
from workflow.files import FETCH, TRAIN, array_names
from workflow.registry.packaging import ModelPackage
from workflow.tracking import Run

HISTORY = "history.csv"
REVIEWS_AT_ONCE = 2000  # more would take more memory, fewer would leave cores idle
Ranks = NDArray[np.int64]  # of a review's words, shape (words,)


class Data(NamedTuple):
    """The test set, and the positions of the training and validation reviews in `train`."""

    test: EvalDataset
    train: Reviews
    learned: NDArray[np.int64]
    validation: NDArray[np.int64]


class Model(NamedTuple):
    """A model and its cost.

    Attributes:
        predict: returns the probability of each review, shape (reviews,), float32.
        parameters: the number of its parameters.
        seconds: how long it took to fit the model.
    """

    predict: Callable[[list[Ranks]], NDArray[np.float32]]
    parameters: float
    seconds: float


def read_data(seed: int, shares: Sequence[float]) -> Data:
    """Read `data/fetch`, shuffled and split as networks split it.

    Args:
        seed: of the order, see `pad.shuffle_seed`.
        shares: validation shares of several models. All models learned from `learned`, and none
            from `validation`.
    """
    train = files.read_reviews(FETCH, "train")
    test = files.read_reviews(FETCH, "test")
    order, test_order = shuffle_orders(len(train), len(test), seed)
    learned, _ = train_validation_split(order, train.labels[order], max(shares))
    _, validation = train_validation_split(order, train.labels[order], min(shares))
    eval_dataset = EvalDataset(
        y=test.labels[test_order],
        order=test_order,
        seen=seen_in_training(test, train)[test_order],
        reviews=test,
    )
    return Data(eval_dataset, train, learned.x, validation.x)


def evaluate(folder: Path, model: Model, data: Data, about: AboutEvaluate, name: str) -> None:
    """Evaluate a model on all reviews, and write what the stage `evaluate` writes.

    Args:
        folder: empty, or with the model's file. It also gets `HISTORY`, `cost.json` and
            `about.json`.
        about: the folder's `about.json`, without the digests of files.
        name: of the run.
    """
    started = time.perf_counter()
    probabilities = predict_in_chunks(model, data.test.reviews, data.test.order)
    milliseconds = 1000 * (time.perf_counter() - started) / len(probabilities)
    predictions = predictions_table(data.test, probabilities, about.evaluate.threshold)
    texts = text_lookup(data.test, outputs.read_vocabulary())
    evaluation = evaluate_predictions(predictions, texts, about.dataset.name, name, about.evaluate)
    outputs.write_evaluation(folder, evaluation)
    splits = [
        (data.train.labels[order], predict_in_chunks(model, data.train, order))
        for order in (data.learned, data.validation)
    ]
    history(splits, model.seconds).to_csv(folder / HISTORY, index=False)
    cost = {"parameters": model.parameters, "milliseconds_per_review": milliseconds}
    files.write_json(folder / "cost.json", cost)
    write_about(folder, about)


def publish_evaluation(
    run: Run, folder: Path, test: EvalDataset, package: ModelPackage
) -> dict[str, Any]:
    """Log what `evaluate` wrote, register the model, and return the metrics."""
    about = read_about(folder, AboutEvaluate)
    table = pd.read_csv(files.verified(folder / HISTORY, about.files))
    tracking.log_points(run, tracking.epoch_points(table, tracking.now_ms()))
    tracking.log_files(run, folder, [HISTORY], TRAIN.name)
    dataset = tracking.describe_arrays(
        f"{about.dataset.name}-test",
        "test",
        test.reviews.tokens,
        test.reviews.labels,
        FETCH,
        files.short_digest(FETCH, array_names("test")),
    )
    return publish.publish_evaluation(run, folder, about, dataset, package)


def predict_in_chunks(
    model: Model, reviews: Reviews, order: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the probability of each review in this order, shape (reviews,)."""
    starts = range(0, len(order), REVIEWS_AT_ONCE)
    chunks = (order[start : start + REVIEWS_AT_ONCE] for start in starts)
    return np.concatenate(
        [model.predict([reviews[review].astype(np.int64) for review in chunk]) for chunk in chunks]
    )


def history(
    splits: Iterable[tuple[NDArray[np.uint8], NDArray[np.float32]]], seconds: float
) -> pd.DataFrame:
    """Return one row, as a network's history has one for each epoch.

    Args:
        splits: labels and probabilities of the training and the validation set, shape (reviews,).
        seconds: how long it took to fit the model.
    """
    row: dict[str, float] = {"epoch": 1}
    for prefix, (labels, probabilities) in zip(("", "val_"), splits, strict=True):
        row[f"{prefix}accuracy"] = float(metrics.accuracy_score(labels, probabilities > 0.5))
        row[f"{prefix}loss"] = float(metrics.log_loss(labels, probabilities.astype(np.float64)))
    return pd.DataFrame([{**row, "seconds": seconds}])
