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


class RunGroup(NamedTuple):
    """A training, or a group of trainings that differ in their seeds.

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
    """A group's answers to the same reviews, in the order of their numbers.

    Attributes:
        right: whether each training is right, shape (trainings, reviews).
        probability: of being positive, mean over the trainings, shape (reviews,), float32.
        agreed: whether that mean gives the right class, shape (reviews,).
    """

    right: NDArray[np.bool_]
    probability: NDArray[np.float32]
    agreed: NDArray[np.bool_]


def check_comparable(a: RunGroup, b: RunGroup) -> None:
    """Raise UserError with the reason where two groups cannot be compared."""
    if a.run_id == b.run_id:
        raise UserError(
            f"{a.label} and {b.label} are the same run, {a.run_id}: there is nothing to compare. "
            "Name another with A=… or B=…, or change a parameter and run `make repro`."
        )
    own, other = ({training.run_id for training in group.trainings} for group in (a, b))
    shared = own & other
    if shared:
        raise UserError(
            f"{a.label} and {b.label} share trainings ({', '.join(sorted(shared))}), so that "
            "neither says anything about the other. `make seeds` printed how the group spreads."
        )
    digests = {training.params.get(TEST_DATA) for training in [*a.trainings, *b.trainings]}
    if len(digests) > 1:
        sets = [f"{group.label} on {dataset(group)}" for group in (a, b)]
        raise UserError(
            f"They were evaluated on other test reviews, {' and '.join(sets)}, so their accuracies "
            "cannot be compared. Evaluate both on the same data set."
        )


def dataset(group: RunGroup) -> str:
    """Names and short digests of the test reviews that a group was evaluated on."""
    names = {
        f"{dataset_name(training.params)} ({str(training.params.get(TEST_DATA))[:8]})"
        for training in group.trainings
    }
    return ", ".join(sorted(names))


def by_review(training: Training) -> pd.DataFrame:
    """The predictions in the order of the reviews' numbers, whatever order they were padded in."""
    return training.predictions.set_index("review").sort_index()


def answers(group: RunGroup) -> Answers:
    """A group's answers, aligned."""
    tables = [by_review(training) for training in group.trainings]
    right = np.stack([(table["actual"] == table["predicted"]).to_numpy(bool) for table in tables])
    stacked = np.stack([table["probability"].to_numpy(np.float32) for table in tables])
    probability = stacked.mean(axis=0)
    positive = (tables[0]["actual"] == POSITIVE).to_numpy(bool)
    threshold = group.trainings[0].params["evaluate.threshold"]
    return Answers(right, probability, (probability > threshold) == positive)
