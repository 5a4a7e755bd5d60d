import numpy as np
import pytest

from sentiment.data.split import split
from sentiment.errors import UserError


@pytest.mark.parametrize(("reviews", "share"), [(100, 0.2), (25_000, 0.2), (7, 0.3), (1001, 0.15)])
@pytest.mark.usefixtures("backend")
def test_split_cuts_where_keras_cuts(reviews: int, share: float) -> None:
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    x, y = np.arange(reviews)[:, None], np.zeros(reviews, np.uint8)
    (keras_x, _), (keras_validation, _) = train_validation_split((x, y), share)
    learning, validation = split(x, y, share)
    assert np.array_equal(learning.x, keras_x)
    assert np.array_equal(validation.x, keras_validation)


def test_split_copies_nothing() -> None:
    x, y = np.zeros((10, 2)), np.zeros(10, np.uint8)
    learning, validation = split(x, y, 0.2)
    assert learning.x.base is x
    assert validation.x.base is x


@pytest.mark.parametrize(("reviews", "share"), [(10, 0.9999), (0, 0.5)])
def test_split_that_leaves_nothing_is_refused(reviews: int, share: float) -> None:
    x, y = np.zeros((reviews, 2)), np.zeros(reviews, np.uint8)
    with pytest.raises(UserError, match=r"train\.validation_split"):
        split(x, y, share)
