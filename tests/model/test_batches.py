"""Batches equal those that Keras makes of the same arrays."""

from pathlib import Path

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.model.batches import batched_dataset, train_validation_split


@pytest.mark.slow
def test_batches_keep_rows_together_and_their_types_and_order() -> None:
    load_keras().utils.set_random_seed(0)
    x = np.arange(40, dtype=np.uint16).reshape(20, 2)
    y = np.arange(20, dtype=np.uint8)
    dataset = batched_dataset(x, y, batch_size=6, shuffle=True)
    epochs = [[*dataset], [*dataset]]
    assert [len(some_y) for _, some_y in epochs[0]] == [6, 6, 6, 2]
    for some_x, some_y in epochs[0]:
        assert (some_x.numpy()[:, 0] == 2 * some_y.numpy()).all()
        assert (some_x.dtype, some_y.dtype) == ("uint16", "uint8")
    orders = [np.concatenate([some_y for _, some_y in epoch]).tolist() for epoch in epochs]
    assert orders[0] == orders[1] != list(range(20))
    assert sorted(orders[0]) == list(range(20))


@pytest.mark.slow
def test_batches_of_one_memory_mapped_array_are_tensors_in_its_order(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(40).reshape(20, 2))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    batches = list(batched_dataset(x, batch_size=8, shuffle=False))
    np.testing.assert_array_equal(np.concatenate(batches), x)
    assert batches[0].shape == (8, 2)


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
    with pytest.raises(UserError, match="validation_split"):
        train_validation_split(np.zeros((10, 2)), np.zeros(10, np.uint8), 0.9999)
