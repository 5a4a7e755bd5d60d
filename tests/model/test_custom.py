"""A network of one's own is trained by the params in `network`, and starts from vectors."""

from typing import Any

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.model.build import build_model
from sentiment.model.layers import EMBEDDING
from sentiment.model.saving import check_loads
from sentiment.model.training import make_deterministic
from sentiment.params import AnyModel
from tests.models import half_known_vectors, new_layout, small_section, splits, trained

pytestmark = pytest.mark.slow
NETWORK: dict[str, Any] = {"embedding_units": 4, "widths": [2, 3], "filters": 5, "dropout": 0.5}


def custom_section(network: dict[str, Any]) -> AnyModel:
    """Return a section whose function gets these arguments and no others."""
    return small_section("custom").model_copy(update={"network": network})


def test_a_custom_network_is_trained_and_loads_without_its_code() -> None:
    training = trained(None, model="custom", network=NETWORK, epochs=1)
    assert len(training.epoch_metrics) == training.params.epochs
    check_loads(training.model, splits()[1].x)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({**NETWORK, "units": 3}, "unexpected keyword argument 'units'"),
        ({"widths": [2], "filters": 5, "dropout": 0.5}, "missing a required.*'embedding_units'"),
    ],
)
def test_arguments_that_the_function_does_not_have_are_one_message(
    network: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_model(custom_section(network), new_layout(), 2)


def test_the_network_starts_from_word_vectors() -> None:
    vectors = half_known_vectors()
    make_deterministic(1)
    model = build_model(custom_section(NETWORK), new_layout(), 2, vectors)
    (weights,) = model.get_layer(EMBEDDING).get_weights()
    np.testing.assert_array_equal(weights[1::2], vectors[1::2])
