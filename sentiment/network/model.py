"""Build, compile and save the classifier: features of a review, and a unit for each label.

Two labels share one logistic unit, whose output is the probability of the second label.
"""

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sentiment.network.batches import count_steps
from sentiment.network.linear import EPSILON, Features, linear_features
from sentiment.params import PadParams, TrainParams
from sentiment.prediction.backend import load_keras

if TYPE_CHECKING:
    import keras

FLOAT32_MIN = float(np.finfo(np.float32).min)
# Keras writes these differently each time that it saves a model.
DATE = re.compile(rb', "date_saved": "[^"]*"')
OBJECT_ID = re.compile(rb'(?<="shared_object_id": )\d+')


def build_model(
    params: TrainParams, pad: PadParams, labels: int, linear: Features | None = None
) -> "keras.Model":
    """Build the classifier.

    Args:
        params: the section `train`.
        pad: the section `pad`.
        labels: number of labels, at least 2.
        linear: the features of the architecture `linear`, which alone needs them.

    Returns:
        A model from token ids, shape (batch, max_length), int32, to the probability of the second
        of two labels, shape (batch, 1), or of each of more labels, shape (batch, labels); float32.
    """
    import keras

    outputs = 1 if labels == 2 else labels
    tokens = keras.Input((pad.max_length,), dtype="int32", name="tokens")
    if linear is not None:
        features = linear_features(params.linear, tokens, linear)
    else:
        embedding = keras.layers.Embedding(
            pad.num_words, params.embedding_units, mask_zero=params.mask_padding, name="embedding"
        )
        mask = embedding.compute_mask(tokens)
        states = embedding(tokens)
        if params.dropout.embedding:
            states = keras.layers.SpatialDropout1D(params.dropout.embedding)(states)
        for number in range(1, params.layers + 1):
            states = recurrent_layer(params, number)(states, mask=mask)
        features = _pool(states, mask, params.pooling)
        if params.dropout.head:
            features = keras.layers.Dropout(params.dropout.head)(features)
    activation = "sigmoid" if outputs == 1 else "softmax"
    head = keras.layers.Dense(outputs, activation=activation, name="probability")
    return keras.Model(tokens, head(features), name="sentiment")


def build_seeded_model(
    params: TrainParams, pad: PadParams, labels: int, linear: Features | None = None
) -> "keras.Model":
    """Set the seed of Python, NumPy and TensorFlow, and build the classifier, see `build_model`."""
    load_keras().utils.set_random_seed(params.seed)
    return build_model(params, pad, labels, linear)


def compile_model(model: "keras.Model", params: TrainParams, reviews: int) -> None:
    """Give a classifier its optimizer, its loss and the metric accuracy.

    Args:
        model: the classifier.
        params: the section `train`.
        reviews: number of reviews in the training set, for the schedule of the learning rate.
    """
    import keras

    is_single = model.output_shape[1] == 1
    losses = keras.losses
    model.compile(
        _optimizer(params, count_steps(reviews, params.batch_size, params.epochs)),
        loss=losses.BinaryCrossentropy() if is_single else losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )


def recurrent_layer(params: TrainParams, number: int) -> "keras.layers.Layer":
    """Return the recurrent layer of this number, counted from the bottom."""
    import keras

    arguments: dict[str, Any] = {
        "return_sequences": params.pooling != "last" or number < params.layers,
        "dropout": params.dropout.input,
        "recurrent_dropout": params.dropout.recurrent,
        "recurrent_initializer": params.recurrent_initializer,
        "name": params.cell if number == 1 else f"{params.cell}_{number}",
    }
    if params.mask_padding and params.cell != "simple_rnn":
        arguments["use_cudnn"] = False  # cuDNN does not support padding before a review
    layer: keras.layers.RNN
    if params.cell == "lstm":
        layer = keras.layers.LSTM(params.units, **arguments)
    elif params.cell == "gru":
        layer = keras.layers.GRU(params.units, **arguments)
    else:
        layer = keras.layers.SimpleRNN(params.units, **arguments)
    if not params.bidirectional:
        return layer
    name = "bidirectional" if number == 1 else f"bidirectional_{number}"
    return keras.layers.Bidirectional(layer, name=name)


def _pool(states: Any, mask: Any, pooling: str) -> Any:
    """Reduce states to features.

    Args:
        states: the states of all words, shape (batch, length, n). With pooling `last`, the last
            state, shape (batch, n).
        mask: whether each token is a word, shape (batch, length), or None.
        pooling: `train.pooling`.

    Returns:
        Shape (batch, n).
    """
    import keras

    if pooling == "max":
        if mask is not None:  # Keras' GlobalMaxPooling1D ignores masks
            states = keras.ops.where(keras.ops.expand_dims(mask, 2), states, FLOAT32_MIN)
        return keras.layers.GlobalMaxPooling1D(name="max")(states)
    if pooling == "mean":
        return keras.layers.GlobalAveragePooling1D(name="mean")(states, mask=mask)
    return states


def _optimizer(params: TrainParams, steps: int) -> "keras.optimizers.Optimizer":
    """Return the optimizer of a training of so many steps."""
    import keras

    learning_rate: Any = params.learning_rate
    if params.schedule == "cosine":
        # Source: Loshchilov and Hutter 2017, SGDR, without restarts
        learning_rate = keras.optimizers.schedules.CosineDecay(params.learning_rate, steps)
    arguments: dict[str, Any] = {"global_clipnorm": params.global_clipnorm or None}
    if params.optimizer == "sgd":
        return keras.optimizers.SGD(learning_rate, **arguments)
    if params.architecture == "linear":
        arguments["epsilon"] = EPSILON
    if params.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(learning_rate, **arguments)
    return keras.optimizers.Adam(learning_rate, **arguments)


def save_model(model: "keras.Model", path: Path) -> None:
    """Save a model in Keras' format. Equal models give equal bytes.

    Keras writes the date into the archive and its metadata, and memory addresses into the
    configuration, where they distinguish shared objects. Here, consecutive numbers replace them.
    """
    numbers: dict[bytes, int] = {}

    def number(object_id: re.Match[bytes]) -> bytes:
        return str(numbers.setdefault(object_id[0], len(numbers) + 1)).encode()

    model.save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in sorted(archive.namelist())}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if name.endswith(".json"):
                content = OBJECT_ID.sub(number, DATE.sub(b"", content))
            archive.writestr(zipfile.ZipInfo(name), content)  # ZipInfo's date is 1980-01-01
