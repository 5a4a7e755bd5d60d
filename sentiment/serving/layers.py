"""Parts of a network as `sentiment.network.model.build_model` makes it."""

from typing import TYPE_CHECKING, Any

from ..backend import load_keras

if TYPE_CHECKING:
    import keras


def vectors(model: "keras.Model") -> Any:
    """The output that has each word's vector, shape (batch, length, features), before dropout."""
    names = {layer.name for layer in model.layers}
    return model.get_layer("vectors" if "vectors" in names else "embedding").output


def recurrent_layers(model: "keras.Model") -> "list[keras.layers.RNN]":
    """The recurrent layers of a model, those of a bidirectional one forward first."""
    single = [layer for outer in model.layers for layer in directions(outer)]
    return [layer for layer in single if isinstance(layer, load_keras().layers.RNN)]


def first_recurrent(model: "keras.Model") -> "keras.layers.RNN | keras.layers.Bidirectional | None":
    """The recurrent layer below all others; None if there is none."""
    layers = load_keras().layers
    kinds = (layers.RNN, layers.Bidirectional)
    return next((layer for layer in model.layers if isinstance(layer, kinds)), None)


def directions(layer: "keras.layers.Layer") -> "list[keras.layers.RNN]":
    """The layer itself, or of a bidirectional one that which reads forward and the other."""
    both = isinstance(layer, load_keras().layers.Bidirectional)
    return [layer.forward_layer, layer.backward_layer] if both else [layer]
