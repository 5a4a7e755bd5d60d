"""A linear component beside a network: the architecture `linear`, trained before the network.

Source: Cheng et al. 2016, *Wide & Deep Learning for Recommender Systems*, except that the two are
trained separately: what is trained apart errs more differently than what is trained together.
"""

from typing import Any

import keras
from keras import ops

from sentiment.network.inputs import Inputs
from sentiment.network.linear import CHECK, LOG_RATIO, WEIGHT, linear_features
from sentiment.network.params import TrainParams

LOGIT = "linear_logit"


class NetworkBesideLinear(keras.Model):  # type: ignore[misc]  # Keras has no types
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


def combine(
    network: keras.Model, linear: keras.Model, params: TrainParams, inputs: Inputs
) -> keras.Model:
    """Return the weighted mean, in log-odds, of a network and a trained linear model.

    Args:
        network: from token ids to probabilities.
        linear: a model with the architecture `linear`.
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
    for name in (CHECK, LOG_RATIO, WEIGHT):
        layer = combined.get_layer(name)
        layer.set_weights(linear.get_layer(name).get_weights())
        layer.trainable = False
    combined.get_layer(LOGIT).set_weights(linear.get_layer("probability").get_weights())
    return combined
