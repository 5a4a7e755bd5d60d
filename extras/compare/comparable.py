"""Whether two groups can be compared, and their answers to the same reviews."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common.evaluated_runs import RunGroup, Training
from sentiment.errors import UserError
from sentiment.evaluation.metrics import POSITIVE
from sentiment.tokenizer import Reviews
from workflow import files, outputs
from workflow.files import FETCH, array_names
from workflow.outputs import TEST_DIGEST


class Corpus(NamedTuple):
    """The test reviews as `fetch` wrote them, and the word of each frequency rank."""

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


def read_corpus(a: RunGroup, b: RunGroup) -> Corpus:
    """Read the test reviews' text from `data/fetch`.

    Raises:
        UserError: the groups cannot be compared, or it has other reviews than they answered.
    """
    check_comparable(a, b)
    params = a.trainings[0].params
    if params[TEST_DIGEST] != files.joint_digest(FETCH, array_names("test")):
        raise UserError(
            f"{FETCH} has other reviews than {a.label} was evaluated on, and so not their text: "
            "set the params of fetch as they were then, and run `dvc repro fetch`."
        )
    return Corpus(files.read_reviews(FETCH, "test"), outputs.read_vocabulary())


def check_comparable(a: RunGroup, b: RunGroup) -> None:
    """Raise UserError with the reason where two groups cannot be compared."""
    own, other = ({training.run_id for training in group.trainings} for group in (a, b))
    if shared := own & other:
        raise UserError(
            f"{a.label} and {b.label} share trainings ({', '.join(sorted(shared))}). Name another "
            "with A=… or B=…, or change a parameter and run `make repro`."
        )
    if len({training.params[TEST_DIGEST] for training in [*a.trainings, *b.trainings]}) > 1:
        raise UserError(
            f"{a.label} and {b.label} were evaluated on other test reviews. Evaluate both on the "
            "same data set."
        )


def by_review(training: Training) -> pd.DataFrame:
    """The predictions in the order of the reviews' numbers; padding shuffles them."""
    return training.predictions.set_index("review").sort_index()


def answers(group: RunGroup) -> Answers:
    tables = [by_review(training) for training in group.trainings]
    right = np.stack([(table["actual"] == table["predicted"]).to_numpy(bool) for table in tables])
    stacked = np.stack([table["probability"].to_numpy(np.float32) for table in tables])
    probability = stacked.mean(axis=0)
    positive = (tables[0]["actual"] == POSITIVE).to_numpy(bool)
    threshold = group.trainings[0].params["evaluate.threshold"]
    return Answers(right, probability, (probability > threshold) == positive)
