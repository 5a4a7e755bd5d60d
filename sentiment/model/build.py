"""Build the model that the params describe, and compile it for training."""

from typing import TYPE_CHECKING, Any

from sentiment.backend import load_keras
from sentiment.model.batches import count_steps
from sentiment.model.layers import HEAD
from sentiment.model.linear import EPSILON, KnownFeatures, linear_features
from sentiment.model.recurrent import recurrent_features
from sentiment.params import PadParams, TrainParams

if TYPE_CHECKING:
    import keras


def build_model(
    params: TrainParams, pad: PadParams, label_count: int, known: KnownFeatures | None = None
) -> "keras.Model":
    """Build the classifier, whose initial weights follow the seed that the caller has set.

    Args:
        label_count: number of labels, at least 2.
        known: the features of the architecture `linear`, which alone needs them.

    Returns:
        A model from token ids, shape (batch, max_length), int32, to the probability of the second
        of two labels, shape (batch, 1), or of each of more labels, shape (batch, labels); float32.
    """
    keras = load_keras()
    outputs = 1 if label_count == 2 else label_count
    tokens = keras.Input((pad.max_length,), dtype="int32", name="tokens")
    if known is not None:
        features = linear_features(params.linear, tokens, known)
    else:
        features = recurrent_features(params, pad.num_words, tokens)
    activation = "sigmoid" if outputs == 1 else "softmax"
    head = keras.layers.Dense(outputs, activation=activation, name=HEAD)
    return keras.Model(tokens, head(features), name="sentiment")


def compile_model(model: "keras.Model", params: TrainParams, reviews: int) -> None:
    """Give a classifier its optimizer, its loss and the metric accuracy.

    Args:
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


def _optimizer(params: TrainParams, steps: int) -> "keras.optimizers.Optimizer":
    """Return the optimizer of a training with this many steps."""
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
