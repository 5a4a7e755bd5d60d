"""The answers of an ensemble to all reviews, and what follows from them."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common.history import history, in_parts
from extras.common.unpadded import unpadded
from extras.ensemble.members import RUNS, SHUFFLE, SPLIT, Member, data_of
from sentiment.errors import UserError
from sentiment.network.batches import split
from sentiment.padding import seen, shuffled
from sentiment.scoring.answers import (
    Evaluation,
    TestSet,
    evaluate_answers,
    predictions_table,
    texts_of,
)
from sentiment.scoring.evaluate_options import Evaluate
from sentiment.section import flatten
from sentiment.serving.classifier import Reader
from sentiment.text import Reviews, Word
from workflow import files
from workflow.evaluation import read_words
from workflow.files import FETCH, TEST_DATA, arrays, read_reviews
from workflow.params import dataset_name


class Data(NamedTuple):
    """The reviews that an ensemble is asked about.

    Attributes:
        train: all of the training part.
        learned: those of them that every member learned from.
        validation: those that none learned from.
        test: the test part.
        words: the vocabulary.
    """

    train: Reviews
    learned: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: TestSet
    words: list[str]


class Answered(NamedTuple):
    """An ensemble's evaluation; its history and cost as those of a training."""

    evaluation: Evaluation
    history: pd.DataFrame
    cost: dict[str, float]


def read_data(members: Sequence[Member]) -> Data:
    """Read the reviews that the members were trained and evaluated on from `data/fetch`.

    Raises:
        UserError: it has others.
    """
    wanted = data_of(members[0].training)
    held = files.read_about(FETCH)["params"] | {
        TEST_DATA: files.joint_digest(FETCH, arrays("test"))
    }
    if any(held.get(name, wanted[name]) != wanted[name] for name in wanted):
        raise UserError(
            f"{FETCH} has other reviews than the models were evaluated on: set fetch.dataset to "
            f"{wanted['fetch.dataset']}, with the values it had then, and run `dvc repro fetch`."
        )
    train, test = read_reviews(FETCH, "train"), read_reviews(FETCH, "test")
    order, test_order = shuffled(len(train), len(test), wanted[SHUFFLE])
    shares = [member.training.params[SPLIT] for member in members]
    learned, _ = split(order, train.labels[order], max(shares))
    _, validation = split(order, train.labels[order], min(shares))
    ready = unpadded(test, test_order, seen(test, train))
    return Data(train, learned.x, validation.x, ready, read_words())


def answer(
    reader: Reader, members: Sequence[Member], data: Data, name: str, options: Evaluate
) -> Answered:
    """Ask about all reviews.

    Args:
        reader: the ensemble.
        members: what it is made from.
        data: the reviews.
        name: of the run.
        options: the `evaluate` section.
    """
    begun = time.perf_counter()
    probabilities = probabilities_of(reader, data.test.reviews, data.test.order)
    taken = 1000 * (time.perf_counter() - begun) / len(probabilities)
    parameters = sum(member.training.cost["parameters"] for member in members)
    dataset = dataset_name(members[0].training.params)
    predictions = predictions_table(data.test, probabilities, options.threshold)
    parts = (
        (data.train.labels[order], probabilities_of(reader, data.train, order))
        for order in (data.learned, data.validation)
    )
    seconds = sum(float(member.training.history["seconds"].sum()) for member in members)
    return Answered(
        evaluate_answers(predictions, texts_of(data.test, data.words), dataset, name, options),
        history(parts, seconds),
        {"parameters": parameters, "milliseconds_per_review": taken},
    )


def probabilities_of(
    reader: Reader, reviews: Reviews, order: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The probability of being positive for these reviews, in this order, shape (reviews,)."""

    def ask(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The words of a review whose text is not known have no place in it."""
        ranks = [reviews[position].tolist() for position in positions]
        return reader.answers([[Word(0, 0, rank) for rank in review] for review in ranks])

    return in_parts(ask, order)


def settings_used(members: Sequence[Member], options: Evaluate) -> dict[str, Any]:
    """What shaped the ensemble and its evaluation, by dotted names."""
    runs = ", ".join(f"{member.training.run_id} × {member.weight:.4g}" for member in members)
    known = data_of(members[0].training)
    return {**known, RUNS: runs, **flatten(options, "evaluate")}
