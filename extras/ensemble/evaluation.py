"""Compute the predictions of an ensemble and their metrics: nothing is read or written."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

from extras.ensemble.members import VALIDATION_SPLIT, Member
from sentiment.evaluation.evaluate import (
    EvalDataset,
    Evaluation,
    evaluate_predictions,
    predictions_table,
    text_lookup,
)
from sentiment.evaluation.params import EvaluateParams
from sentiment.network.batches import train_validation_split
from sentiment.network.progress import history_frame
from sentiment.padding import seen_in_training, shuffle_orders
from sentiment.tokenizer import Reviews

REVIEWS_PER_CHUNK = 10_000  # their padded rows are in memory at once
# From texts, given as word ranks, to their probabilities, shape (texts,).
Predict = Callable[[Sequence[Sequence[int]]], NDArray[np.float32]]


class EnsembleDataset(NamedTuple):
    """The reviews of an ensemble's members.

    Attributes:
        test: the test set.
        train: the reviews that the members split into training and validation set.
        train_order: positions in `train` of the reviews that all members were trained on.
        val_order: positions in `train` of the reviews that no member was trained on.
    """

    test: EvalDataset
    train: Reviews
    train_order: NDArray[np.int64]
    val_order: NDArray[np.int64]


class EnsembleEvaluation(NamedTuple):
    """The evaluation of an ensemble.

    Attributes:
        evaluation: the evaluation on the test set.
        history: one row, with the columns of a training's history.
        cost: `parameters` of all members, and `milliseconds_per_review`.
    """

    evaluation: Evaluation
    history: pd.DataFrame
    cost: dict[str, float]


def split_reviews(train: Reviews, test: Reviews, members: Sequence[Member]) -> EnsembleDataset:
    """Shuffle and split the reviews as the members did.

    Args:
        train: the reviews of the training and the validation set.
        test: the reviews of the test set.
        members: the members, whose `train.validation_split` may differ.
    """
    order, test_order = shuffle_orders(len(train), len(test))
    shares = [member.training.params[VALIDATION_SPLIT] for member in members]
    training, _ = train_validation_split(order, train.labels[order], max(shares))
    _, validation = train_validation_split(order, train.labels[order], min(shares))
    eval_dataset = EvalDataset(
        y=test.labels[test_order],
        order=test_order,
        seen=seen_in_training(test, train)[test_order],
        reviews=test,
    )
    return EnsembleDataset(eval_dataset, train, training.x, validation.x)


def evaluate_ensemble(
    predict: Predict,
    members: Sequence[Member],
    dataset: EnsembleDataset,
    words: Sequence[str],
    dataset_name: str,
    name: str,
    params: EvaluateParams,
) -> EnsembleEvaluation:
    """Predict all reviews, and compute every metric, table and plot.

    Args:
        predict: the ensemble.
        members: the members.
        dataset: their reviews.
        words: the words by rank.
        dataset_name: the dataset's name in MLflow.
        name: name of the run.
        params: the section `evaluate`.
    """
    test = dataset.test
    started = time.perf_counter()
    probabilities = predict_in_chunks(predict, test.reviews, test.order)
    milliseconds = 1000 * (time.perf_counter() - started) / len(probabilities)
    predictions = predictions_table(test, probabilities, params.threshold)
    texts = text_lookup(test, words)
    trainings = [member.training for member in members]
    row = {
        **_accuracy_and_loss(predict, dataset.train, dataset.train_order, ""),
        **_accuracy_and_loss(predict, dataset.train, dataset.val_order, "val_"),
        "seconds": sum(training.cost["training_seconds"] for training in trainings),
    }
    return EnsembleEvaluation(
        evaluation=evaluate_predictions(predictions, texts, dataset_name, name, params),
        history=history_frame([row]),
        cost={
            "parameters": sum(training.cost["parameters"] for training in trainings),
            "milliseconds_per_review": milliseconds,
        },
    )


def predict_in_chunks(
    predict: Predict, reviews: Reviews, order: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the probabilities of the reviews at these positions, shape (positions,)."""
    starts = range(0, len(order), REVIEWS_PER_CHUNK)
    chunks = [order[start : start + REVIEWS_PER_CHUNK] for start in starts]
    return np.concatenate(
        [predict([reviews[position].tolist() for position in chunk]) for chunk in chunks]
    )


def _accuracy_and_loss(
    predict: Predict, reviews: Reviews, order: NDArray[np.int64], prefix: str
) -> dict[str, float]:
    """Return accuracy and cross-entropy, as Keras computes both for a history."""
    labels = reviews.labels[order]
    probabilities = predict_in_chunks(predict, reviews, order).astype(np.float64)
    return {
        f"{prefix}accuracy": float(metrics.accuracy_score(labels, probabilities > 0.5)),
        f"{prefix}loss": float(metrics.log_loss(labels, probabilities, labels=[0, 1])),
    }
