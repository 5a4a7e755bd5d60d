"""The network: embedding, recurrent cell, pooling, one logistic unit."""

import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiment.params import Train

if TYPE_CHECKING:
    import keras

POOLED = ("max", "mean", "max+mean")
# batches between two returns to Python: each return costs time, and only there do signals count
STEPS_PER_EXECUTION = 4


def build_model(params: Train, num_words: int, length: int) -> "keras.Model":
    """Build and compile the classifier.

    Args:
        params: the `train` section.
        num_words: token ids run from 0 to num_words - 1.
        length: tokens a review.

    Returns:
        A model from token ids, shape (batch, length), int32, to the probability that the
        review is positive, shape (batch, 1), float32.
    """
    import keras

    tokens = keras.Input((length,), dtype="int32", name="tokens")
    vectors = keras.layers.Embedding(num_words, params.embedding_units, name="embedding")(tokens)
    vectors = _dropout("SpatialDropout1D", params.dropout.embedding, vectors)
    summary = _pool(_recurrent(params)(vectors), params.pooling)
    summary = _dropout("Dropout", params.dropout.head, summary)
    probability = keras.layers.Dense(1, activation="sigmoid", name="probability")(summary)
    model = keras.Model(tokens, probability, name="sentiment")
    for layer in lstm_layers(model):
        _start_forget_gate(layer, params.forget_bias)
    model.compile(
        _optimizer(params),
        loss="binary_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    return model


def _recurrent(params: Train) -> "keras.layers.Layer":
    import keras

    cells = {
        "lstm": keras.layers.LSTM,
        "gru": keras.layers.GRU,
        "simple_rnn": keras.layers.SimpleRNN,
    }
    layer = cells[params.cell](
        params.units,
        return_sequences=params.pooling in POOLED,
        dropout=params.dropout.input,
        recurrent_dropout=params.dropout.recurrent,
        recurrent_initializer=params.recurrent_initializer,
        name=params.cell,
    )
    return (
        keras.layers.Bidirectional(layer, name="bidirectional") if params.bidirectional else layer
    )


def lstm_layers(model: "keras.Model") -> "list[keras.layers.LSTM]":
    """The LSTM layers of a model, those of a bidirectional one forward first."""
    import keras

    found = []
    for layer in model.layers:
        both = isinstance(layer, keras.layers.Bidirectional)
        found += [layer.forward_layer, layer.backward_layer] if both else [layer]
    return [layer for layer in found if isinstance(layer, keras.layers.LSTM)]


def _start_forget_gate(layer: "keras.layers.LSTM", bias: float) -> None:
    """Set the second of the four parts of the bias, in Keras' order i, f, c, o."""
    values = layer.cell.bias.numpy().copy()
    values[layer.units : 2 * layer.units] = bias
    layer.cell.bias.assign(values)


def _pool(states: Any, pooling: str) -> Any:
    """Reduce (batch, length, units) to (batch, features); the last state is one already."""
    import keras

    layers = []
    if "max" in pooling:
        layers.append(keras.layers.GlobalMaxPooling1D(name="max"))
    if "mean" in pooling:
        layers.append(keras.layers.GlobalAveragePooling1D(name="mean"))
    pooled = [layer(states) for layer in layers] or [states]
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="pooled")(pooled)


def _dropout(layer: str, rate: float, values: Any) -> Any:
    import keras

    return getattr(keras.layers, layer)(rate)(values) if rate else values


def _optimizer(params: Train) -> "keras.optimizers.Optimizer":
    import keras

    config = {"learning_rate": params.learning_rate}
    if params.clip_norm:
        config["global_clipnorm"] = params.clip_norm
    return keras.optimizers.get({"class_name": params.optimizer, "config": config})


def save_model(model: "keras.Model", path: Path) -> None:
    """Save a model in Keras' format, the same model as the same bytes.

    Keras writes the date into the archive and its metadata, and addresses in memory into the
    configuration, where they distinguish shared objects; here numbers do that.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = Path(folder) / path.name
        model.save(written)
        with zipfile.ZipFile(written) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                same = SAME_EACH_TIME.get(name, bytes)(content)
                target.writestr(zipfile.ZipInfo(name), same)  # dated 1980, where zip begins


def _undated(metadata: bytes) -> bytes:
    document = json.loads(metadata)
    del document["date_saved"]
    return json.dumps(document, sort_keys=True).encode()


def _numbered(config: bytes) -> bytes:
    numbers: dict[bytes, int] = {}

    def number(found: re.Match[bytes]) -> bytes:
        return found[1] + str(numbers.setdefault(found[2], len(numbers) + 1)).encode()

    return re.sub(rb'("shared_object_id": )(\d+)', number, config)


SAME_EACH_TIME = {"metadata.json": _undated, "config.json": _numbered}
