"""The network: embedding, recurrent cell, pooling, one logistic unit."""

from typing import TYPE_CHECKING, Any

from stages.params import Train

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
        name=params.cell,
    )
    return (
        keras.layers.Bidirectional(layer, name="bidirectional") if params.bidirectional else layer
    )


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
    return keras.optimizers.get({"class_name": params.optimizer, "config": config})
