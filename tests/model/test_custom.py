"""A network of one's own is trained by the params in `train.custom`, and starts from vectors."""

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.model.build import build_model
from sentiment.model.layers import EMBEDDING
from sentiment.model.saving import check_loads
from sentiment.model.training import make_deterministic
from tests.models import half_known_vectors, pad_params, splits, train_params, trained

pytestmark = pytest.mark.slow
CUSTOM = {"embedding_units": 4, "widths": [2, 3], "filters": 5, "dropout": 0.5}


def test_a_custom_network_is_trained_and_loads_without_its_code() -> None:
    training = trained(None, architecture="custom", custom=CUSTOM, epochs=1)
    assert len(training.epoch_metrics) == training.params.epochs
    check_loads(training.model, splits()[1].x)


@pytest.mark.parametrize(
    ("custom", "message"),
    [
        ({**CUSTOM, "units": 3}, "unexpected keyword argument 'units'"),
        ({"widths": [2], "filters": 5, "dropout": 0.5}, "missing a required.*'embedding_units'"),
    ],
)
def test_arguments_that_the_function_does_not_have_are_one_message(
    custom: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        trained(None, architecture="custom", custom=custom)


def test_the_network_starts_from_word_vectors() -> None:
    vectors = half_known_vectors()
    make_deterministic(1)
    params = train_params(architecture="custom", custom=CUSTOM)
    model = build_model(params, pad_params(), 2, vectors)
    (weights,) = model.get_layer(EMBEDDING).get_weights()
    np.testing.assert_array_equal(weights[1::2], vectors[1::2])
