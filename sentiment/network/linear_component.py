"""Combine a network with a linear model that is trained before it.

Source: Cheng et al. 2016, *Wide & Deep Learning for Recommender Systems*. There, both are trained
together. Trained separately, their errors are less alike, and their mean is more accurate.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops
from numpy.typing import NDArray

from sentiment.network.inputs import Inputs
from sentiment.network.linear import LOG_RATIO, QUOTIENT, WEIGHT, linear_features
from sentiment.network.params import TrainParams

LOGIT = "linear_logit"
TABLES = (QUOTIENT, LOG_RATIO, WEIGHT)


class NetworkWithLinear(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Train a network alone. Validate and predict with the linear component.

    Args:
        network: from token ids to probabilities.
        combined: the network with the linear component.
    """

    def __init__(self, network: keras.Model, combined: keras.Model) -> None:
        super().__init__(combined.input, combined.output)
        self.network = network

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if training:
            return self.network(inputs, training=True)
        return super().call(inputs, training=training, mask=mask)


def add_linear_component(network: keras.Model, params: TrainParams, inputs: Inputs) -> keras.Model:
    """Return the weighted mean, in log-odds, of a network and a linear model without weights yet.

    Args:
        network: from token ids to probabilities.
        params: the section `train`. `linear.share` is the weight of the linear model.
        inputs: the inputs of both.
    """
    features = linear_features(params, inputs, network.input)
    logit = keras.layers.Dense(1, trainable=False, name=LOGIT)(features)
    probability = ops.clip(network.output, keras.config.epsilon(), 1 - keras.config.epsilon())
    log_odds = ops.log(probability / (1 - probability))
    share = params.linear.share
    output = ops.sigmoid((1 - share) * log_odds + share * logit)
    combined = keras.Model(network.input, output, name=network.name)
    for name in TABLES:
        combined.get_layer(name).trainable = False
    return combined


def set_linear_weights(
    combined: keras.Model, weights: Mapping[str, Sequence[NDArray[Any]]]
) -> None:
    """Set the weights of the linear component.

    Args:
        combined: see `add_linear_component`.
        weights: of the layers of the trained linear model, by their names.
    """
    for name in TABLES:
        combined.get_layer(name).set_weights(weights[name])
    combined.get_layer(LOGIT).set_weights(weights["probability"])
