"""What is compared: trainings with their answers, one or a group that differ in their seeds."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.scoring.metrics import POSITIVE
from sentiment.text import Reviews
from workflow.files import TEST_DATA
from workflow.params import dataset_name


class Training(NamedTuple):
    """A training with its evaluation.

    Attributes:
        run_id: of its MLflow run.
        name: of its MLflow run.
        params: everything that shaped it and its evaluation, and digests of model and data.
        predictions: see `sentiment.scoring.metrics`; `probability` is float32.
        history: see `sentiment.network.state.Trained`.
        gradients: see `sentiment.gradients.table`; None for an evaluation that is older
            than these.
        cost: `parameters` and `milliseconds_per_review`.
    """

    run_id: str
    name: str
    params: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame
    gradients: pd.DataFrame | None
    cost: dict[str, float]


class Side(NamedTuple):
    """One side of a comparison.

    Attributes:
        label: how it was asked for, such as `champion`.
        run_id: of the training's run, or of the group's parent run.
        name: of that run.
        trainings: one, or those of the group.
    """

    label: str
    run_id: str
    name: str
    trainings: list[Training]

    @property
    def single(self) -> bool:
        """Whether it is one training and not a group."""
        return len(self.trainings) == 1


class Corpus(NamedTuple):
    """The text of the test reviews.

    Attributes:
        reviews: as `fetch` wrote them.
        words: the vocabulary: the word of frequency rank r is at r.
    """

    reviews: Reviews
    words: list[str]


class Answers(NamedTuple):
    """A side's answers to the same reviews, in the order of their numbers.

    Attributes:
        right: whether each training is right, shape (trainings, reviews).
        probability: of being positive, mean over the trainings, shape (reviews,), float32.
        agreed: whether that mean gives the right class, shape (reviews,).
    """

    right: NDArray[np.bool_]
    probability: NDArray[np.float32]
    agreed: NDArray[np.bool_]


def check_comparable(a: Side, b: Side) -> None:
    """Raise UserError with the reason where the sides cannot be compared."""
    if a.run_id == b.run_id:
        raise UserError(
            f"{a.label} and {b.label} are the same run, {a.run_id}: there is nothing to compare. "
            "Name another with A=… or B=…, or change a parameter and run `make repro`."
        )
    shared = {each.run_id for each in a.trainings} & {each.run_id for each in b.trainings}
    if shared:
        raise UserError(
            f"{a.label} and {b.label} share trainings ({', '.join(sorted(shared))}), so that "
            "neither says anything about the other. `make seeds` printed how the group spreads."
        )
    known = {each.params.get(TEST_DATA) for each in [*a.trainings, *b.trainings]}
    if len(known) > 1:
        sets = [f"{side.label} on {dataset(side)}" for side in (a, b)]
        raise UserError(
            f"They were evaluated on other test reviews, {' and '.join(sets)}, so their accuracies "
            "cannot be compared. Evaluate both on the same data set."
        )


def dataset(side: Side) -> str:
    """Names and short digests of the test reviews that a side was evaluated on."""
    found = {
        f"{dataset_name(each.params)} ({str(each.params.get(TEST_DATA))[:8]})"
        for each in side.trainings
    }
    return ", ".join(sorted(found))


def by_review(training: Training) -> pd.DataFrame:
    """The predictions in the order of the reviews' numbers, whatever order they were padded in."""
    return training.predictions.set_index("review").sort_index()


def answers(side: Side) -> Answers:
    """A side's answers, aligned."""
    tables = [by_review(each) for each in side.trainings]
    right = np.stack([(each["actual"] == each["predicted"]).to_numpy(bool) for each in tables])
    stacked = np.stack([each["probability"].to_numpy(np.float32) for each in tables])
    probability = stacked.mean(axis=0)
    positive = (tables[0]["actual"] == POSITIVE).to_numpy(bool)
    threshold = side.trainings[0].params["evaluate.threshold"]
    return Answers(right, probability, (probability > threshold) == positive)
