"""Batches equal those that Keras makes of the same arrays."""

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.network.batches import batched_dataset, train_validation_split

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]


def test_batches_keep_rows_together_and_keep_types() -> None:
    x = np.arange(40, dtype=np.uint16).reshape(20, 2)
    y = np.arange(20, dtype=np.uint8)
    sizes = []
    for some_x, some_y in batched_dataset(x, y, batch_size=6, shuffle=True):
        assert (some_x.numpy()[:, 0] == 2 * some_y.numpy()).all()
        assert (some_x.dtype, some_y.dtype) == ("uint16", "uint8")
        sizes.append(len(some_y))
    assert sizes == [6, 6, 6, 2]


@pytest.mark.parametrize(("reviews", "share", "at"), [(25_000, 0.2, 20_000), (7, 0.3, 4)])
def test_split_rounds_as_keras_does_and_copies_nothing(reviews: int, share: float, at: int) -> None:
    x = np.arange(reviews)[:, None]
    y = np.zeros(reviews, np.uint8)
    train_split, val_split = train_validation_split(x, y, share)
    assert np.array_equal(train_split.x, x[:at])
    assert np.array_equal(val_split.x, x[at:])
    assert np.shares_memory(train_split.x, x)
    assert np.shares_memory(val_split.x, x)


def test_empty_split_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.validation_split"):
        train_validation_split(np.zeros((10, 2)), np.zeros(10, np.uint8), 0.9999)
