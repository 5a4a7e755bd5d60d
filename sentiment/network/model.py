"""Build the network: embedding, architecture, pooling, a logistic unit and a linear component."""

import math
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.network.architectures import ARCHITECTURES
from sentiment.network.batches import batched_dataset
from sentiment.network.params import BigramParams, TrainParams, WideParams

if TYPE_CHECKING:
    import keras

    from sentiment.padding import PadParams

# Batches between two returns to Python. Each return takes time, and only then are signals handled.
STEPS_PER_EXECUTION = 4
HASH_PRIMES = (7_919, 1_000_003, 104_729)  # hash an n-gram, starting with its last word
FEATURE_BATCH_SIZE = 1024  # reviews whose words and n-grams are computed at once
FLOAT32_MIN = float(np.finfo(np.float32).min)
# Keras writes these differently each time that it saves a model.
DATE = re.compile(rb', "date_saved": "[^"]*"')
OBJECT_ID = re.compile(rb'(?<="shared_object_id": )\d+')


class Inputs(NamedTuple):
    """The inputs of a model.

    Attributes:
        num_words: token ids run from 0 to num_words - 1.
        length: number of tokens of a review.
        padding_token: token id that pads short reviews.
        unknown_token: token id of unknown words.
        steps_per_epoch: number of batches in an epoch, for the schedule of the learning rate.
    """

    num_words: int
    length: int
    padding_token: int
    unknown_token: int
    steps_per_epoch: int


def model_inputs(pad: "PadParams", train: TrainParams, reviews: int) -> Inputs:
    """Return the inputs of a model that is trained on `reviews` reviews."""
    return Inputs(
        num_words=pad.num_words,
        length=pad.max_length,
        padding_token=pad.padding_token,
        unknown_token=pad.unknown_token,
        steps_per_epoch=math.ceil(reviews / train.batch_size),
    )


def build_model(params: TrainParams, inputs: Inputs) -> "keras.Model":
    """Build and compile the classifier.

    Returns:
        A model from token ids, shape (batch, length), int32, to the probability that each review is
        positive, shape (batch, 1), float32.
    """
    import keras

    embedding = keras.layers.Embedding(
        inputs.num_words, params.embedding_units, mask_zero=params.mask_padding, name="embedding"
    )
    tokens = keras.Input((inputs.length,), dtype="int32", name="tokens")
    words = _drop_words(tokens, params.dropout.word, inputs)
    mask = embedding.compute_mask(words)
    vectors = _with_bigrams(embedding(words), words, params.bigrams, inputs)
    if params.dropout.embedding:
        vectors = keras.layers.SpatialDropout1D(params.dropout.embedding)(vectors)
    summary = _pool(_states(params, vectors, mask), mask, params.pooling)
    if params.dropout.head:
        summary = keras.layers.Dropout(params.dropout.head)(summary)
    probability = keras.layers.Dense(1, activation="sigmoid", name="probability")(summary)
    output = _add_linear_component(probability, tokens, params.wide, inputs)
    model = keras.Model(tokens, output, name="sentiment")
    model.compile(
        _optimizer(params, inputs.steps_per_epoch),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=params.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    return model


def _drop_words(tokens: Any, rate: float, inputs: Inputs) -> Any:
    """Make random words unknown during training.

    Source: Iyyer et al. 2015, *Deep Unordered Composition Rivals Syntactic Methods for Text
    Classification*.
    """
    import keras

    if not rate:
        return tokens
    ones = keras.ops.ones_like(tokens, dtype="float32")
    kept = keras.layers.Dropout(rate, name="word_dropout")(ones)
    is_padding = keras.ops.equal(tokens, inputs.padding_token)
    stays = keras.ops.logical_or(keras.ops.greater(kept, 0), is_padding)
    return keras.ops.where(stays, tokens, inputs.unknown_token)


def _with_bigrams(vectors: Any, words: Any, bigrams: BigramParams, inputs: Inputs) -> Any:
    """Append to each word's vector the vector of the bigram that ends with the word.

    Bigrams with the same hash share a vector. Source: Joulin et al. 2017, *Bag of Tricks for
    Efficient Text Classification*.
    """
    import keras

    if not bigrams.units:
        return vectors
    embedding = keras.layers.Embedding(bigrams.buckets + 1, bigrams.units, name="bigrams")
    pairs = embedding(_buckets(words, 2, bigrams.buckets, inputs))
    return keras.layers.Concatenate(name="vectors")([vectors, pairs])


def _buckets(words: Any, size: int, count: int, inputs: Inputs) -> Any:
    """Return the hash buckets, from 1, of the n-grams that end with each word.

    The bucket is 0 if a word of the n-gram is padding or unknown.
    """
    from keras import ops

    words = ops.cast(words, "int64")  # products would overflow 32 bits
    hashed = ops.zeros_like(words)
    has_special = ops.zeros_like(words, "bool")
    for distance, prime in enumerate(HASH_PRIMES[:size]):
        earlier = ops.pad(words, [[0, 0], [distance, 0]], constant_values=inputs.padding_token)
        earlier = earlier[:, : words.shape[1]]
        hashed += prime * earlier
        for special_token in (inputs.padding_token, inputs.unknown_token):
            has_special = ops.logical_or(has_special, ops.equal(earlier, special_token))
    return ops.cast(ops.where(has_special, 0, 1 + ops.mod(hashed, count)), "int32")


def _add_linear_component(probability: Any, tokens: Any, wide: WideParams, inputs: Inputs) -> Any:
    """Return the mean, in log-odds and weighted by `wide.share`, of the network and a linear model.

    The linear model adds a weight for each distinct word and n-gram, and divides the sum by the
    square root of their number.

    Source: Cheng et al. 2016, *Wide & Deep Learning for Recommender Systems*, except that the two
    components are trained separately.
    """
    import keras
    from keras import ops

    if not wide.buckets:
        return probability
    words = ops.where(ops.equal(tokens, inputs.padding_token), 0, tokens + 1)
    hashed = [_buckets(tokens, size, wide.buckets, inputs) for size in range(2, wide.ngrams + 1)]
    ngrams = [ops.where(ops.equal(ids, 0), 0, inputs.num_words + ids) for ids in hashed]
    features = ops.sort(ops.concatenate([words, *ngrams], axis=1))  # 0 is not a feature
    before = ops.pad(features[:, :-1], [[0, 0], [1, 0]])
    is_first = ops.cast(ops.not_equal(features, before), "float32")  # among equal features
    count = inputs.num_words + wide.buckets + 1
    weights = keras.layers.Embedding(count, 1, "zeros", trainable=False, name="wide")(features)
    total = ops.sum(weights[:, :, 0] * is_first, axis=1, keepdims=True)
    number = ops.sum(is_first, axis=1, keepdims=True)
    log_odds = keras.layers.Dense(1, trainable=False, name="wide_log_odds")
    linear = log_odds(total / ops.sqrt(ops.maximum(number, 1)))
    epsilon = keras.config.epsilon()  # Keras' loss clips probabilities likewise
    clipped = ops.clip(probability, epsilon, 1 - epsilon)
    network = ops.log(clipped / (1 - clipped))
    return ops.sigmoid((1 - wide.share) * network + wide.share * linear)


def layer_inputs(layer: str, model: "keras.Model", tokens: NDArray[Any]) -> NDArray[np.integer]:
    """Return what an embedding layer reads.

    Args:
        layer: "bigrams" or "wide".
        model: see `build_model`.
        tokens: token ids, shape (reviews, length).

    Returns:
        Shape (reviews, n).
    """
    import keras

    read = keras.Model(model.input, model.get_layer(layer).input)
    batches = batched_dataset(tokens, batch_size=FEATURE_BATCH_SIZE, shuffle=False)
    return np.asarray(read.predict(batches, verbose=0))


def _states(params: TrainParams, vectors: Any, mask: Any) -> Any:
    """Return the states of the architecture, see `sentiment.network.architectures`.

    Segments are read as rows of a larger batch. Their states are joined again above all layers.
    """
    from keras import ops

    architecture = ARCHITECTURES[params.architecture]
    length = vectors.shape[1]
    segment = params.segment_length or length
    if segment >= length:
        return architecture(params, vectors, mask)
    vectors = ops.reshape(vectors, (-1, segment, vectors.shape[2]))
    mask = None if mask is None else ops.reshape(mask, (-1, segment))
    states = architecture(params, vectors, mask)
    return ops.reshape(states, (-1, length, states.shape[2]))


def _pool(states: Any, mask: Any, pooling: str) -> Any:
    """Reduce states, shape (batch, length, n), to features, shape (batch, features)."""
    import keras

    pooled = []
    if "max" in pooling:
        words = states
        if mask is not None:  # Keras' GlobalMaxPooling1D ignores masks
            words = keras.ops.where(keras.ops.expand_dims(mask, 2), states, FLOAT32_MIN)
        pooled.append(keras.layers.GlobalMaxPooling1D(name="max")(words))
    if "mean" in pooling:
        pooled.append(keras.layers.GlobalAveragePooling1D(name="mean")(states, mask=mask))
    pooled = pooled or [_last(states, mask)]
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="pooled")(pooled)


def _last(states: Any, mask: Any) -> Any:
    """Return the state of the last word, shape (batch, n)."""
    from keras import ops

    if len(states.shape) == 2:  # the architecture returned only the last state
        return states
    if mask is None:
        return states[:, -1]
    words_so_far = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    last = ops.argmax(words_so_far, axis=1)  # the first of equal counts, so never padding
    return ops.take_along_axis(states, last[:, None, None], axis=1)[:, 0]


def _optimizer(params: TrainParams, steps_per_epoch: int) -> "keras.optimizers.Optimizer":
    import keras

    optimizer = keras.optimizers.get(params.optimizer)
    return type(optimizer)(
        _learning_rate(params, steps_per_epoch),
        weight_decay=params.weight_decay or None,
        global_clipnorm=params.clip_norm or None,
        use_ema=params.average > 0,
        ema_momentum=params.average,
    )


def _learning_rate(
    params: TrainParams, steps_per_epoch: int
) -> "float | keras.optimizers.schedules.CosineDecay":
    """Return the learning rate, or its schedule by training steps.

    A cosine schedule with alpha 1 is constant. It is used for Keras' warm-up.
    """
    import keras

    is_cosine = params.schedule.kind == "cosine"
    warmup_steps = math.floor(params.schedule.warmup_epochs * steps_per_epoch)
    if not is_cosine and not warmup_steps:
        return params.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else params.learning_rate,
        decay_steps=params.epochs * steps_per_epoch - warmup_steps,
        alpha=0.0 if is_cosine else 1.0,
        warmup_target=params.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


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
