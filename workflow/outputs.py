"""What the stages wrote, as others read it."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.backend import load_keras
from sentiment.text import Reviews
from workflow import files
from workflow.files import FETCH, PAD, TEST_DATA, TRAIN, arrays, read_reviews

if TYPE_CHECKING:
    import keras


class TestSet(NamedTuple):
    """The test part, all but `reviews` in the order of the padded arrays.

    Attributes:
        x: token ids, shape (reviews, max_length).
        y: labels, shape (reviews,), 1 = positive.
        order: each review's position in `reviews`, shape (reviews,).
        seen: whether each also occurs in training, shape (reviews,).
        reviews: all reviews without any cut, as `fetch` wrote them.
        digest: short digest of x and y.
    """

    x: NDArray[Any]
    y: NDArray[np.uint8]
    order: NDArray[np.int64]
    seen: NDArray[np.bool_]
    reviews: Reviews
    digest: str


class Training(NamedTuple):
    """What `train` wrote, but for the model.

    Attributes:
        params: everything that shaped it, by dotted `params.yaml` names.
        history: see `sentiment.network.training.Trained`.
        gradients: before the first epoch, see `sentiment.gradients.table`.
        run: identity of its MLflow run, when it began and ended, its tags, and the code's
            changes without a commit.
    """

    params: dict[str, Any]
    history: pd.DataFrame
    gradients: pd.DataFrame
    run: dict[str, Any]


def read_test() -> TestSet:
    """Read the test part from `data/pad` and `data/fetch`."""
    x, y, order, seen = files.read_arrays(PAD, ["x_test", "y_test", "test_order", "test_seen"])
    digest = files.short_digest(PAD, ["x_test", "y_test"])
    return TestSet(x, y, order, seen, read_reviews(FETCH, "test"), digest)


def unpadded(test: Reviews, order: NDArray[np.int64], known: NDArray[np.bool_]) -> TestSet:
    """The test part without rows of token ids, for models that read words.

    Args:
        test: the reviews.
        order: to put them in, shape (reviews,).
        known: whether each of `test` also occurs in training, shape (reviews,).
    """
    none = np.zeros((len(order), 0), np.uint8)
    digest = files.short_digest(FETCH, arrays("test"))
    return TestSet(none, test.labels[order], order, known[order], test, digest)


def read_words() -> list[str]:
    """Read the vocabulary: the word of frequency rank r is at r; rank 0 has none."""
    index = files.read_json(files.checked(FETCH / "word_index.json"))
    return ["", *sorted(index, key=index.__getitem__)]


def read_training() -> Training:
    """Read what is known of the training from `data/train`."""
    history = pd.read_csv(files.checked(TRAIN / "history.csv"))
    gradients = pd.read_csv(files.checked(TRAIN / "gradients.csv"))
    run = files.read_json(files.checked(TRAIN / "run.json"))
    return Training(files.read_about(TRAIN)["params"], history, gradients, run)


def read_model() -> "keras.Model":
    """Load the trained model."""
    path = files.checked(TRAIN / "model.keras")
    return load_keras().saving.load_model(path, compile=False)


def training_digests() -> dict[str, str]:
    """Tags with the digests of the arrays that are trained on."""
    digests = files.read_about(PAD)["files"]
    return {f"data.{name}.sha256": digests[f"{name}.npy"] for name in ("x_train", "y_train")}


def evaluated_digests() -> dict[str, str]:
    """Digests of the model and the test set as they are now, to identify later what was evaluated.

    `TEST_DATA` is that of the reviews themselves, however they are cut and padded: models
    that were asked about the same reviews can be compared.
    """
    model = files.read_about(TRAIN)["files"]["model.keras"]
    padded = files.read_about(PAD)["files"]
    reviews = files.joint_digest(FETCH, arrays("test"))
    return {
        "model.sha256": model,
        "data.x_test.sha256": padded["x_test.npy"],
        TEST_DATA: reviews,
    }
