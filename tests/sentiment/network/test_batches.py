"""Batches come as Keras would make them from the same arrays."""

from itertools import chain
from typing import Any

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.network.batches import batches, split

pytestmark = pytest.mark.usefixtures("backend")


def recorded(*data: Any, **options: Any) -> list[list[int]]:
    """The reviews of each batch of three epochs of `fit`."""
    import keras

    keras.utils.set_random_seed(7)
    seen: list[list[int]] = []

    class Recorder(keras.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> dict[str, Any]:
            seen.append(data[0][:, 0].numpy().tolist())
            return {"loss": keras.ops.zeros(())}

    model = Recorder()
    model.compile(run_eagerly=True)
    model.fit(*data, epochs=3, verbose=0, **options)
    return seen


def test_the_order_is_the_one_keras_draws_from_arrays() -> None:
    x, y = np.arange(23)[:, None], np.zeros(23, np.uint8)
    keras = recorded(x, y, batch_size=5)
    ours = recorded(batches(x, y, batch_size=5, shuffle=True), shuffle=False)
    assert ours == keras
    assert sorted(chain(*ours[:5])) == list(range(23))
    assert list(chain(*ours[:5])) != list(range(23))


@pytest.mark.parametrize(("reviews", "sizes"), [(4, [4]), (8, [4, 4]), (9, [4, 4, 1])])
def test_the_last_batch_has_what_is_left(reviews: int, sizes: list[int]) -> None:
    x = np.arange(reviews)
    cut = [batch.numpy() for batch in batches(x, batch_size=4, shuffle=False)]
    assert [len(batch) for batch in cut] == sizes
    assert np.concatenate(cut).tolist() == x.tolist()


def test_arrays_stay_together_and_keep_their_types() -> None:
    x, y = np.arange(40, dtype=np.uint16).reshape(20, 2), np.arange(20, dtype=np.uint8)
    for some_x, some_y in batches(x, y, batch_size=6, shuffle=True):
        assert (some_x.numpy()[:, 0] == 2 * some_y.numpy()).all()
        assert (some_x.dtype, some_y.dtype) == ("uint16", "uint8")


@pytest.mark.parametrize(("reviews", "share"), [(25_000, 0.2), (7, 0.3), (1001, 0.15)])
def test_split_cuts_where_keras_cuts_and_copies_nothing(reviews: int, share: float) -> None:
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    x, y = np.arange(reviews)[:, None], np.zeros(reviews, np.uint8)
    (keras_x, _), (keras_validation, _) = train_validation_split((x, y), share)
    learning, validation = split(x, y, share)
    assert np.array_equal(learning.x, keras_x)
    assert np.array_equal(validation.x, keras_validation)
    assert np.shares_memory(learning.x, x)
    assert np.shares_memory(validation.x, x)


@pytest.mark.parametrize(("reviews", "share"), [(10, 0.9999), (0, 0.5)])
def test_split_that_leaves_nothing_is_refused(reviews: int, share: float) -> None:
    x, y = np.zeros((reviews, 2)), np.zeros(reviews, np.uint8)
    with pytest.raises(UserError, match=r"train\.validation_split"):
        split(x, y, share)
