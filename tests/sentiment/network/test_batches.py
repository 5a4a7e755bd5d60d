"""Batches come as Keras would make them from the same arrays."""

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.network.batches import batched_dataset, train_validation_split

pytestmark = pytest.mark.usefixtures("backend")


def test_arrays_stay_together_keep_their_types_and_the_last_batch_has_what_is_left() -> None:
    x, y = np.arange(40, dtype=np.uint16).reshape(20, 2), np.arange(20, dtype=np.uint8)
    sizes = []
    for some_x, some_y in batched_dataset(x, y, batch_size=6, shuffle=True):
        assert (some_x.numpy()[:, 0] == 2 * some_y.numpy()).all()
        assert (some_x.dtype, some_y.dtype) == ("uint16", "uint8")
        sizes.append(len(some_y))
    assert sizes == [6, 6, 6, 2]


@pytest.mark.parametrize(("reviews", "share"), [(25_000, 0.2), (7, 0.3)])
def test_split_cuts_where_keras_cuts_and_copies_nothing(reviews: int, share: float) -> None:
    from keras.src.trainers.data_adapters import array_slicing

    x, y = np.arange(reviews)[:, None], np.zeros(reviews, np.uint8)
    (keras_x, _), (keras_validation, _) = array_slicing.train_validation_split((x, y), share)
    learning, validation = train_validation_split(x, y, share)
    assert np.array_equal(learning.x, keras_x)
    assert np.array_equal(validation.x, keras_validation)
    assert np.shares_memory(learning.x, x)
    assert np.shares_memory(validation.x, x)


def test_split_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.validation_split"):
        train_validation_split(np.zeros((10, 2)), np.zeros(10, np.uint8), 0.9999)
