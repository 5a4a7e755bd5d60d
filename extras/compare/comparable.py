"""Check that two groups can be compared, and read what they predicted for the same reviews."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common.evaluated_runs import EvaluatedRun, RunGroup
from sentiment.errors import UserError
from sentiment.evaluation.metrics import POSITIVE
from sentiment.tokenizer import Reviews
from workflow import files, outputs
from workflow.files import FETCH, array_names
from workflow.outputs import TEST_DIGEST


class ReviewTexts(NamedTuple):
    """The test reviews as `fetch` wrote them, and the word of each frequency rank."""

    reviews: Reviews
    words: list[str]

    def text(self, review: int) -> str:
        """Return the words of a review."""
        return " ".join(self.words[rank] for rank in self.reviews[review])


class GroupPredictions(NamedTuple):
    """A group's predictions for the test reviews, in the order of their numbers.

    Attributes:
        correct: whether each training is right, shape (trainings, reviews), bool.
        probability: mean over the trainings, shape (reviews,), float32.
        mean_correct: whether that mean gives the right class, shape (reviews,), bool.
    """

    correct: NDArray[np.bool_]
    probability: NDArray[np.float32]
    mean_correct: NDArray[np.bool_]


def check_comparable(a: RunGroup, b: RunGroup) -> None:
    """Check that two groups are of different trainings and of one test set.

    Raises:
        UserError: they cannot be compared.
    """
    run_ids_a = {run.run_id for run in a.runs}
    run_ids_b = {run.run_id for run in b.runs}
    if shared := run_ids_a & run_ids_b:
        raise UserError(
            f"{a.label} and {b.label} share trainings ({', '.join(sorted(shared))}). Name another "
            "with A=… or B=…, or change a param and run `make repro`."
        )
    if len({run.params[TEST_DIGEST] for run in [*a.runs, *b.runs]}) > 1:
        raise UserError(
            f"{a.label} and {b.label} were evaluated on different test sets. Evaluate both on the "
            "same dataset."
        )


def read_texts(group: RunGroup) -> ReviewTexts:
    """Read the reviews that a group was evaluated on from `data/fetch`.

    Raises:
        UserError: it has other reviews.
    """
    if group.runs[0].params[TEST_DIGEST] != files.joint_digest(FETCH, array_names("test")):
        raise UserError(
            f"{FETCH} has other reviews than {group.label} was evaluated on. Set the params of "
            "fetch as they were then, and run `dvc repro fetch`."
        )
    return ReviewTexts(files.read_reviews(FETCH, "test"), outputs.read_vocabulary())


def predictions_by_review(training: EvaluatedRun) -> pd.DataFrame:
    """Return the predictions in the order of the reviews' numbers, which `pad` shuffles."""
    return training.predictions.set_index("review").sort_index()


def group_predictions(group: RunGroup) -> GroupPredictions:
    """Collect the predictions of a group's trainings."""
    tables = [predictions_by_review(run) for run in group.runs]
    correct = [(table["actual"] == table["predicted"]).to_numpy(bool) for table in tables]
    probabilities = [table["probability"].to_numpy(np.float32) for table in tables]
    mean = np.stack(probabilities).mean(axis=0)
    positive = (tables[0]["actual"] == POSITIVE).to_numpy(bool)
    threshold = group.runs[0].params["evaluate.threshold"]
    return GroupPredictions(np.stack(correct), mean, (mean > threshold) == positive)
