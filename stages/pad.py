"""Stage 2: cut the vocabulary, add the marks, and pad every review to the same length.

Writes `data/pad/`: `x_train.npy`, `x_test.npy` (token ids, reviews x max_length), `y_train.npy`,
`y_test.npy` (labels), `test_order.npy` (where each test review stands in `data/fetch`) and
`test_seen.npy` (whether it also occurs in training).

The result equals `keras.datasets.imdb.load_data(num_words=...)` followed by
`keras.utils.pad_sequences(maxlen=...)`, computed without Keras.
"""

import numpy as np
from numpy.typing import NDArray

from stages import command, files
from stages.params import flatten, load_params
from stages.reviews import read_reviews
from stages.sequences import Reviews, pad

FOLDER = files.DATA / "pad"
FETCH = files.DATA / "fetch"


def shuffled(train: int, test: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Orders for both parts, drawn one after the other as `keras.datasets.imdb` draws them."""
    rng = np.random.RandomState(seed)
    orders = np.arange(train), np.arange(test)
    for order in orders:
        rng.shuffle(order)
    return orders


def seen(test: Reviews, train: Reviews) -> NDArray[np.bool_]:
    """Whether each test review is, word for word, also a training review; shape (test,)."""
    known = {review.tobytes() for review in train}
    return np.fromiter((review.tobytes() in known for review in test), bool, len(test))


def main() -> None:
    params = load_params().pad
    shaping = files.read_about(FETCH)["params"] | flatten(params, "pad")
    train, test = (read_reviews(FETCH, part) for part in ("train", "test"))
    train_order, test_order = shuffled(len(train), len(test), params.shuffle_seed)
    arrays = {
        "x_train": pad(train, train_order, params),
        "y_train": train.labels[train_order],
        "x_test": pad(test, test_order, params),
        "y_test": test.labels[test_order],
        "test_order": test_order,
        "test_seen": seen(test, train)[test_order],
    }
    with files.replaced(FOLDER) as folder:
        files.write_arrays(folder, arrays)
        files.write_about(folder, shaping)
    print(f"{len(train):,} + {len(test):,} reviews of {params.max_length} tokens")


if __name__ == "__main__":
    command.run("pad", main)
