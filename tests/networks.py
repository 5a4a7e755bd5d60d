"""Small networks that need no training."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sentiment.backend import load_keras
from sentiment.network.model import build_model
from sentiment.padding import layout
from sentiment.serving.keras_classifier import BatchPredictor, KerasClassifier
from tests.conftest import defaults, inputs
from tests.project import SMALL, merge_changes
from workflow.params import validate_params

if TYPE_CHECKING:
    import keras

NUM_WORDS = 20
BATCH_SIZE = 4
SCALE = 4  # factor for matrices; otherwise untrained networks hardly tell words apart


def untrained_network(max_length: int, seed: int, **train: Any) -> "keras.Model":
    """Return a network with random weights, in which each word changes the prediction.

    Args:
        max_length: `pad.max_length`.
        seed: seed of the weights.
        train: params of the section `train` that differ from `SMALL`.
    """
    params = validate_params(
        merge_changes(merge_changes(defaults(), SMALL), {"train": train}), "params.yaml"
    )
    load_keras().utils.set_random_seed(seed)
    model = build_model(params.train, inputs(NUM_WORDS, max_length))
    weights = model.get_weights()
    model.set_weights([array * (SCALE if array.ndim > 1 else 1) for array in weights])
    return model


def network_classifier(model: "keras.Model") -> KerasClassifier:
    """Return the classifier of an untrained network."""
    params = validate_params(merge_changes(defaults(), SMALL), "params.yaml")
    max_length = model.input_shape[1]
    row_layout = replace(layout(params.pad), num_words=NUM_WORDS, max_length=max_length)
    return KerasClassifier(BatchPredictor(model, BATCH_SIZE), row_layout)
