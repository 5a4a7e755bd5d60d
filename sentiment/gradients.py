"""How far back a network can learn: its gradient at each distance from the last word.

What a word does to the answer is traced back through all steps after it. Where that trace is
lost, training cannot find out that the word mattered, as Hochreiter found (1991, *Untersuchungen
zu dynamischen neuronalen Netzen*; Bengio et al. 1994, doi:10.1109/72.279181; Pascanu et al. 2013,
proceedings.mlr.press/v28/pascanu13).

Measured is the norm of the gradient of the loss by the word's vector, with that of its bigram where
the model reads one: how strongly a small change of it moves the network's answer to these
reviews, not whether the network uses the word, nor what another training would have learned.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

BATCH = 64  # reviews a step
REACH_THRESHOLD = 0.01  # share of the greatest mean norm at which a gradient still counts
LOWER_QUANTILE, UPPER_QUANTILE = 0.1, 0.9  # quantiles over the reviews: the spread


def measure_gradients(
    model: "keras.Model", x: NDArray[Any], padding_token: int, reviews: int
) -> pd.DataFrame:
    """The `table` of a model's gradients on a `sample` of its reviews.

    `x` are token ids, shape (all reviews, length); at most `reviews` of them are taken.
    """
    chosen = select_reviews(x, padding_token, reviews)
    return distance_table(norms_by_distance(gradient_norms(model, chosen), chosen, padding_token))


def gradient_norms(model: "keras.Model", x: NDArray[Any]) -> NDArray[np.float32]:
    """The norm of the gradient of the logit by each word's vector, shape (reviews, length).

    A review's gradient of the loss (binary cross-entropy) is that of the logit times p - y, the
    same factor at each of its words: relative to each other, both have the same norms. The logit's
    is there also where p is 0 or 1 in float32.

    Args:
        model: as `sentiment.network.model.build_model` makes it, trained or not, accelerated or
            not; it is left as it is.
        x: token ids, shape (reviews, length).
    """
    import tensorflow as tf

    head = model.get_layer("probability")
    read, network = split_at_vectors(model, head.input)

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


def vectors(model: "keras.Model") -> Any:
    """The output that has each word's vector, shape (batch, length, features), before dropout."""
    names = {layer.name for layer in model.layers}
    return model.get_layer("vectors" if "vectors" in names else "embedding").output


def split_at_vectors(model: "keras.Model", output: Any) -> "tuple[keras.Model, keras.Model]":
    """Two models: from tokens to the words' vectors; from tokens and vectors to `output`.

    The second one needs the tokens for its masks.
    """
    import keras

    between, tokens = vectors(model), model.input
    history = tokens._keras_history
    rest = keras.Model([tokens, between], output)
    tokens._keras_history = history  # Keras writes another one there, and could not save the model
    return keras.Model(tokens, between), rest


def select_reviews(x: NDArray[Any], padding_token: int, reviews: int) -> NDArray[Any]:
    """The first reviews that fill their row of `x`, shape (all reviews, length), else the longest.

    There are `reviews` of them at most; `padding_token` fills short ones.
    """
    words = np.count_nonzero(x != padding_token, axis=1)
    longest = np.argsort(-words, kind="stable")[:reviews]
    full = longest[words[longest] == x.shape[1]]
    return x[full if len(full) else longest]


def norms_by_distance(
    norms: NDArray[np.float32], x: NDArray[Any], padding_token: int
) -> NDArray[np.float64]:
    """Norms by the distance from a review's last word, each review's divided by their mean.

    Reviews differ in the size of all of their gradients, and each is to count the same. `norms` and
    `x`, the token ids, have the shape (reviews, length); padding may be at either side.

    Returns:
        Shape (reviews, words of the shortest review), the last word first; zeros for a review
        without any gradient.
    """
    words = x != padding_token
    last = words.shape[1] - 1 - np.argmax(words[:, ::-1], axis=1)
    distances = np.arange(np.count_nonzero(words, axis=1).min())
    taken = np.take_along_axis(norms.astype(np.float64), last[:, None] - distances, axis=1)
    means = taken.mean(axis=1, keepdims=True)
    return np.asarray(taken / np.where(means > 0, means, 1))


def distance_table(shares: NDArray[np.float64]) -> pd.DataFrame:
    """The gradient at each distance, from `by_distance`, relative to the mean at the last word.

    Returns:
        Columns `distance`, in words from the last one; `mean`; `low` and `high`, the quantiles
        `LOW` and `HIGH` over the reviews. Without a gradient at any last word, as maximum pooling
        may leave it, all is relative to the greatest mean.
    """
    mean = shares.mean(axis=0)
    scale = mean[0] or mean.max() or 1.0
    low, high = np.quantile(shares, [LOWER_QUANTILE, UPPER_QUANTILE], axis=0)
    columns = {"mean": mean / scale, "low": low / scale, "high": high / scale}
    return pd.DataFrame({"distance": np.arange(len(mean)), **columns})


def gradient_reach(table: pd.DataFrame) -> int:
    """The greatest distance, in words, whose mean is at least `REACHED` of the greatest; or 0."""
    means = table["mean"]
    reached = (means > 0) & (means >= REACH_THRESHOLD * means.max())
    return int(table["distance"][reached].max()) if reached.any() else 0


def as_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The mean at each distance as the values of a metric, whose steps are the distances."""
    return table.set_index("distance")[["mean"]].rename(columns={"mean": metric})
