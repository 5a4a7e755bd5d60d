"""How far back a network can learn: its gradient at each distance from the last word.

What a word does to the answer is traced back through all steps after it. Where that trace is
lost, training cannot find out that the word mattered, as Hochreiter found (1991, *Untersuchungen
zu dynamischen neuronalen Netzen*; Bengio et al. 1994, doi:10.1109/72.279181; Pascanu et al. 2013,
proceedings.mlr.press/v28/pascanu13).

Measured is the norm of the gradient of the loss by the word's vector, with that of its bigram where
the model reads one.
That says how strongly a small change of the vector moves the answer of this model to these reviews:
not whether the network makes use of the word, nor what another training would have learned.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.scoring import gradients
from sentiment.serving import layers

if TYPE_CHECKING:
    import keras

BATCH = 64  # reviews a step


def measure(
    model: "keras.Model", x: NDArray[Any], padding_token: int, reviews: int
) -> pd.DataFrame:
    """The table of a model's gradients on a sample of reviews.

    Args:
        model: see `norms`.
        x: token ids of all reviews, shape (all reviews, length).
        padding_token: the id that fills short reviews.
        reviews: size of the sample, see `sentiment.scoring.gradients.sample`.

    Returns:
        See `sentiment.scoring.gradients.table`.
    """
    chosen = gradients.sample(x, padding_token, reviews)
    by_distance = gradients.by_distance(norms(model, chosen), chosen, padding_token)
    return gradients.table(by_distance)


def norms(model: "keras.Model", x: NDArray[Any]) -> NDArray[np.float32]:
    """The norm of the gradient of the logit by each word's vector.

    A review's gradient of the loss (binary cross-entropy) is that of the logit times p - y, the
    same factor at each of its words: relative to each other, both have the same norms. The logit's
    is there also where p is 0 or 1 in float32.

    Args:
        model: as `sentiment.network.model.build_model` makes it, trained or not, accelerated or
            not; it is left as it is.
        x: token ids, shape (reviews, length).

    Returns:
        Shape (reviews, length).
    """
    import tensorflow as tf

    read, network = _at_vectors(model)
    head = model.get_layer("probability")

    def norms_of(tokens: Any) -> Any:
        vectors = tf.identity(read(tokens))  # without Keras' mask: the network makes it
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            summary = network([tokens, vectors], training=False)
            logits = summary @ head.kernel + head.bias
        return tf.norm(tape.gradient(logits, vectors), axis=2)

    step = tf.function(norms_of, reduce_retracing=True)
    steps = [x[start : start + BATCH] for start in range(0, len(x), BATCH)]
    return np.concatenate([step(tokens.astype(np.int32)).numpy() for tokens in steps])


def _at_vectors(model: "keras.Model") -> "tuple[keras.Model, keras.Model]":
    """The same layers up to the vectors, and from there on; the latter makes masks of tokens."""
    import keras

    vectors, summary = layers.vectors(model), model.get_layer("probability").input
    return keras.Model(model.input, vectors), keras.Model([model.input, vectors], summary)
