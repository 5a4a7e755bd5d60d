"""Stage 2: cut the vocabulary, add the marks, and pad every review to the same length.

Writes `data/pad/`: `x_train.npy`, `x_test.npy` (token ids, reviews x max_length), `y_train.npy`,
`y_test.npy` (labels), `test_order.npy` (where each test review stands in `data/fetch`) and
`test_seen.npy` (whether it also occurs in training).

The result equals `keras.datasets.imdb.load_data(num_words=...)` followed by
`keras.utils.pad_sequences(maxlen=...)`, computed without Keras.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stages import command, files
from stages.params import Pad, flatten, load_params
from stages.reviews import Reviews, read_reviews

FOLDER = files.DATA / "pad"
FETCH = files.DATA / "fetch"


def shuffled(train: int, test: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Orders for both parts, drawn one after the other as `keras.datasets.imdb` draws them."""
    rng = np.random.RandomState(seed)
    orders = np.arange(train), np.arange(test)
    for order in orders:
        rng.shuffle(order)
    return orders


def token_dtype(num_words: int) -> DTypeLike:
    """The smallest unsigned type that holds every token id below `num_words`."""
    return np.min_scalar_type(num_words - 1)


def encode(tokens: NDArray[np.uint32], params: Pad) -> NDArray[Any]:
    """Turn ranks into token ids: ranks moved up by `index_from`, rare words made unknown."""
    ids = tokens + np.uint32(params.index_from)
    ids[ids >= params.num_words] = params.unknown_token
    return ids.astype(token_dtype(params.num_words))


def pad(reviews: Reviews, order: NDArray[np.int64], params: Pad) -> NDArray[Any]:
    """Start mark, token ids and padding of each review in `order`.

    Returns:
        Shape (reviews, max_length), of `token_dtype`.
    """
    positions, inside = _positions(reviews.lengths[order] + 1, params)
    words = reviews.offsets[order][:, None] + positions - 1
    ids = encode(reviews.tokens, params)
    inside_words = inside & (positions > 0)
    padded = np.full(positions.shape, params.padding_token, ids.dtype)
    padded[inside & (positions == 0)] = params.start_token
    padded[inside_words] = ids[words[inside_words]]
    return padded


def _positions(
    lengths: NDArray[np.int64], params: Pad
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each cell of the padded array, which position of its sequence stands there.

    Position 0 is the start mark. Cells outside the sequence are False in the second array.
    """
    kept = np.minimum(lengths, params.max_length)
    first = lengths - kept if params.truncating == "pre" else np.zeros_like(lengths)
    margin = params.max_length - kept if params.padding == "pre" else np.zeros_like(lengths)
    columns = np.arange(params.max_length) - margin[:, None]
    return columns + first[:, None], (columns >= 0) & (columns < kept[:, None])


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
