"""Combine a network with a linear model that is trained before it.

Source: Cheng et al. 2016, *Wide & Deep Learning for Recommender Systems*. There, both are trained
together. Trained separately, their errors are less alike, and their mean is more accurate.
"""

from typing import Any

import keras
from keras import ops

LAYER_NAME = "linear_component"


class NetworkWithLinear(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A model that trains a network alone, and validates and predicts with its linear component.

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


def add_linear_component(
    network: keras.Model, linear_model: keras.Model, share: float
) -> keras.Model:
    """Return the weighted mean, in log-odds, of a network and a linear model.

    Args:
        network: from token ids to probabilities.
        linear_model: from token ids to probabilities. Its weights become fixed.
        share: the weight of the linear model.
    """
    component = keras.Model(linear_model.input, linear_model.output, name=LAYER_NAME)
    component.trainable = False
    linear_log_odds = _log_odds(component(network.input))
    output = ops.sigmoid((1 - share) * _log_odds(network.output) + share * linear_log_odds)
    return keras.Model(network.input, output, name=network.name)


def _log_odds(probability: Any) -> Any:
    epsilon = keras.config.epsilon()
    clipped = ops.clip(probability, epsilon, 1 - epsilon)
    return ops.log(clipped / (1 - clipped))
