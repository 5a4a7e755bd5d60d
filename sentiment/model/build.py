"""Build the model that the params describe, and compile it for training."""

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.model.batches import count_steps
from sentiment.model.custom import custom_features
from sentiment.model.layers import HEAD
from sentiment.model.linear import EPSILON, KnownFeatures, linear_features
from sentiment.model.recurrent import recurrent_features
from sentiment.params import AnyModel, CustomParams, LinearParams, ModelParams
from sentiment.text.padding import Layout

if TYPE_CHECKING:
    import keras


def build_model(
    params: AnyModel,
    layout: Layout,
    label_count: int,
    vectors: NDArray[np.float32] | None = None,
    known: KnownFeatures | None = None,
) -> "keras.Model":
    """Build the classifier, whose initial weights follow the seed that the caller has set.

    Args:
        layout: the layout of the rows that it reads.
        label_count: number of labels, at least 2.
        vectors: the word vector of each token id, shape (num_words, size), or None. The
            architecture `linear` has them in `known`.
        known: the features of the architecture `linear`, which alone needs them.

    Returns:
        A model from token ids, shape (batch, max_length), int32, to the probability of the second
        of two labels, shape (batch, 1), or of each of more labels, shape (batch, labels); float32.

    Raises:
        UserError: the function in `custom.py` has other arguments, or returns another shape.
    """
    keras = load_keras()
    outputs = 1 if label_count == 2 else label_count
    tokens = keras.Input((layout.max_length,), dtype="int32", name="tokens")
    if isinstance(params, LinearParams):
        if known is None:
            raise ValueError("the architecture linear needs the features that it reads")
        features = linear_features(params, tokens, known)
    elif isinstance(params, CustomParams):
        features = call_custom(params, layout.num_words, tokens, vectors)
    else:
        features = recurrent_features(params, layout.num_words, tokens, vectors)
    activation = "sigmoid" if outputs == 1 else "softmax"
    head = keras.layers.Dense(outputs, activation=activation, name=HEAD)
    return keras.Model(tokens, head(features), name="sentiment")


def call_custom(
    params: CustomParams, num_words: int, tokens: Any, vectors: NDArray[np.float32] | None
) -> Any:
    """Return the features of the network in `sentiment/model/custom.py`.

    Raises:
        UserError: `network` lacks an argument of its function, or has another one, or the
            features have another shape than (batch, features).
    """
    arguments: dict[str, Any] = params.network
    try:
        inspect.signature(custom_features).bind(tokens, num_words, vectors, **arguments)
    except TypeError as error:
        raise UserError(
            f"network: {error}. It needs the arguments of custom_features in "
            "sentiment/model/custom.py, and no others."
        ) from None
    features = custom_features(tokens, num_words, vectors, **arguments)
    if len(features.shape) != 2:
        raise UserError(
            f"custom_features returns the shape {features.shape}, but has to return (batch, "
            "features)."
        )
    return features


def compile_model(model: "keras.Model", params: ModelParams, reviews: int) -> None:
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


def _optimizer(params: ModelParams, steps: int) -> "keras.optimizers.Optimizer":
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
