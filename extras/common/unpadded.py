"""The data and the evaluation of models that read a review's words, not a row of token ids."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics
from workflow.evaluation import HISTORY, TestIdentity, publish, read_words, write
from workflow.runs.logger import RunLogger, now

from sentiment.evaluation.evaluate import (
    EvalDataset,
    evaluate_predictions,
    predictions_table,
    text_lookup,
)
from sentiment.evaluation.params import EvaluateParams
from sentiment.network.batches import train_validation_split
from sentiment.padding import seen_in_training, shuffle_orders
from sentiment.tokenizer import Reviews
from workflow import files
from workflow.files import FETCH, TEST_DATA, arrays, read_reviews
from workflow.params import Promote, dataset_name
from workflow.registry.packaging import Parts
from workflow.registry.versions import Served

REVIEWS_AT_ONCE = 2000  # more would take more memory, fewer would leave cores idle
Ranks = NDArray[np.int64]  # of a review's words, shape (words,)


class Data(NamedTuple):
    """The test part, and the positions in the training part that were learned from, and not."""

    test: EvalDataset
    train: Reviews
    learned: NDArray[np.int64]
    validation: NDArray[np.int64]


class Model(NamedTuple):
    """A model and what it took to make it.

    `ask` gives a probability for each review, shape (reviews,), float32; to fit it took `seconds`.
    """

    ask: Callable[[list[Ranks]], NDArray[np.float32]]
    parameters: float
    seconds: float


def read_data(seed: int, shares: Sequence[float]) -> Data:
    """Read `data/fetch`, shuffled and split as networks split it.

    With several shares for validation, models of all these shares learned from `learned`, and none
    from `validation`.
    """
    train, test = read_reviews(FETCH, "train"), read_reviews(FETCH, "test")
    order, test_order = shuffle_orders(len(train), len(test), seed)
    learned, _ = train_validation_split(order, train.labels[order], max(shares))
    _, validation = train_validation_split(order, train.labels[order], min(shares))
    no_rows, digest = np.zeros((len(test), 0), np.uint8), files.short_digest(FETCH, arrays("test"))
    is_seen, labels = seen_in_training(test, train)[test_order], test.labels[test_order]
    tested = EvalDataset(no_rows, labels, test_order, is_seen, test, digest)
    return Data(tested, train, learned.x, validation.x)


def evaluate(
    folder: Path,
    model: Model,
    data: Data,
    params: Mapping[str, Any],
    name: str,
    options: EvaluateParams,
) -> None:
    """Ask a model about all reviews, and write what follows as the stage `evaluate` does.

    Args:
        folder: an empty one, or with the model's file; it gets what the stage `evaluate` writes,
            `HISTORY`, `cost.json`, and `about.json` with the params and the digests of all files.
        params: what shaped model, data and evaluation, by dotted names.
        name: of the run.
        options: the `evaluate` section.
    """
    begun = time.perf_counter()
    probabilities = answers(model, data.test.reviews, data.test.order)
    taken = 1000 * (time.perf_counter() - begun) / len(probabilities)
    predictions = predictions_table(data.test, probabilities, options.threshold)
    texts = text_lookup(data.test, read_words())
    write(folder, evaluate_predictions(predictions, texts, dataset_name(params), name, options))
    parts = [
        (data.train.labels[order], answers(model, data.train, order))
        for order in (data.learned, data.validation)
    ]
    history(parts, model.seconds).to_csv(folder / HISTORY, index=False)
    cost = {"parameters": model.parameters, "milliseconds_per_review": taken}
    files.write_json(folder / "cost.json", cost)
    files.write_about(folder, params)


def publish_evaluation(
    log: RunLogger, folder: Path, test: EvalDataset, parts: Parts, rule: Promote
) -> dict[str, Any]:
    """Log what `evaluate` wrote, and let the rule decide about the model; return the metrics."""
    metrics: dict[str, Any] = files.read_json(folder / "metrics.json")
    params = files.read_about(folder)["params"]
    log.curves(pd.read_csv(folder / HISTORY, index_col="epoch"), [now()])
    identity = TestIdentity(f"{metrics['dataset']}-test", test.digest)
    reviews = test.reviews.tokens, test.reviews.labels
    log.dataset(identity.dataset, "test", reviews, FETCH, identity.digest)
    digests = {key: params[key] for key in ("model.sha256", TEST_DATA) if key in params}
    publish(log, folder, metrics, identity, Served(parts, digests, rule))
    return metrics


def answers(model: Model, reviews: Reviews, order: NDArray[np.int64]) -> NDArray[np.float32]:
    """The probability of being positive for these reviews, in this order, shape (reviews,)."""
    starts = range(0, len(order), REVIEWS_AT_ONCE)
    parts = (order[start : start + REVIEWS_AT_ONCE] for start in starts)
    return np.concatenate(
        [model.ask([reviews[review].astype(np.int64) for review in part]) for part in parts]
    )


def history(
    parts: Iterable[tuple[NDArray[np.uint8], NDArray[np.float32]]], seconds: float
) -> pd.DataFrame:
    """One row, as a network's history has it for each epoch, of a fit that took so many seconds.

    The parts are of training and of validation the labels and the answers, shape (reviews,).
    """
    row: dict[str, float] = {"epoch": 1}
    for prefix, (labels, probabilities) in zip(("", "val_"), parts, strict=True):
        row[f"{prefix}accuracy"] = float(metrics.accuracy_score(labels, probabilities > 0.5))
        row[f"{prefix}loss"] = float(metrics.log_loss(labels, probabilities.astype(np.float64)))
    return pd.DataFrame([{**row, "seconds": seconds}])
