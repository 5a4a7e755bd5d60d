"""The network: embedding, what reads the vectors, pooling, one logistic unit, and a wide path."""

import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.network.architectures import ARCHITECTURES
from sentiment.network.batches import batched_dataset
from sentiment.network.params import BigramParams, TrainParams, WideParams

if TYPE_CHECKING:
    import keras

# batches between two returns to Python: each return costs time, and only there do signals count
STEPS_PER_EXECUTION = 4
HASH_PRIMES = (7_919, 1_000_003, 104_729)  # by which an n-gram is hashed, its last word first
FEATURE_BATCH_SIZE = 1024  # reviews whose words and n-grams are looked for at once
FLOAT32_MIN = float(np.finfo(np.float32).min)
# what Keras writes otherwise each time that it saves a model
DATE = re.compile(rb', "date_saved": "[^"]*"')
ADDRESS = re.compile(rb'(?<="shared_object_id": )\d+')


class Inputs(NamedTuple):
    """What a model reads."""

    num_words: int  # token ids run from 0 to num_words - 1
    length: int  # tokens a review
    padding_token: int  # the id that fills short reviews
    unknown_token: int  # the id in place of a rare word
    steps_per_epoch: int  # batches an epoch, by which the learning rate's schedule goes


def model_inputs(settings_used: Mapping[str, Any], reviews: int) -> Inputs:
    """What the model of a training on so many reviews reads, from all that shapes it by name."""
    return Inputs(
        settings_used["pad.num_words"],
        settings_used["pad.max_length"],
        settings_used["pad.padding_token"],
        settings_used["pad.unknown_token"],
        steps_per_epoch=math.ceil(reviews / settings_used["train.batch_size"]),
    )


def build_model(params: TrainParams, inputs: Inputs) -> "keras.Model":
    """Build and compile the classifier.

    It goes from token ids, shape (batch, length), int32, to the probability that the review is
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
    answer = _add_linear_component(probability, tokens, params.wide, inputs)
    model = keras.Model(tokens, answer, name="sentiment")
    model.compile(
        _optimizer(params, inputs.steps_per_epoch),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=params.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    return model


def _drop_words(tokens: Any, rate: float, inputs: Inputs) -> Any:
    """Let words become unknown at random in training (Iyyer et al. 2015, *Deep averaging*)."""
    import keras

    if not rate:
        return tokens
    ones = keras.ops.ones_like(tokens, dtype="float32")
    kept = keras.layers.Dropout(rate, name="word_dropout")(ones)
    padding = keras.ops.equal(tokens, inputs.padding_token)
    stays = keras.ops.logical_or(keras.ops.greater(kept, 0), padding)
    return keras.ops.where(stays, tokens, inputs.unknown_token)


def _with_bigrams(vectors: Any, words: Any, bigrams: BigramParams, inputs: Inputs) -> Any:
    """Each word's vector, followed by that of the bigram which it ends.

    Source: Joulin et al. 2017, *Bag of Tricks for Efficient Text Classification*, where bigrams
    share vectors by their hash.
    """
    import keras

    if not bigrams.units:
        return vectors
    embedding = keras.layers.Embedding(bigrams.buckets + 1, bigrams.units, name="bigrams")
    pairs = embedding(_buckets(words, 2, bigrams.buckets, inputs))
    return keras.layers.Concatenate(name="vectors")([vectors, pairs])


def _buckets(words: Any, size: int, count: int, inputs: Inputs) -> Any:
    """The bucket of the n-gram that each word ends, from 1; 0 if a word is padding or unknown."""
    from keras import ops

    words = ops.cast(words, "int64")  # products of 32 bits would overflow
    hashed, lacks = ops.zeros_like(words), ops.zeros_like(words, "bool")
    for distance, prime in enumerate(HASH_PRIMES[:size]):
        earlier = ops.pad(words, [[0, 0], [distance, 0]], constant_values=inputs.padding_token)
        earlier = earlier[:, : words.shape[1]]
        hashed += prime * earlier
        for mark in (inputs.padding_token, inputs.unknown_token):
            lacks = ops.logical_or(lacks, ops.equal(earlier, mark))
    return ops.cast(ops.where(lacks, 0, 1 + ops.mod(hashed, count)), "int32")


def _add_linear_component(probability: Any, tokens: Any, wide: WideParams, inputs: Inputs) -> Any:
    """A weighted mean, in log-odds, of what the deep path answers and a linear model beside it.

    The linear model adds a weight for each word and n-gram, once however often it occurs, and
    divides the sum by the root of their number. Source: Cheng et al. 2016, *Wide & Deep Learning
    for Recommender Systems*, except that the paths are trained apart.
    """
    import keras
    from keras import ops

    if not wide.buckets:
        return probability
    words = ops.where(ops.equal(tokens, inputs.padding_token), 0, tokens + 1)
    hashed = [_buckets(tokens, size, wide.buckets, inputs) for size in range(2, wide.ngrams + 1)]
    ngrams = [ops.where(ops.equal(ids, 0), 0, inputs.num_words + ids) for ids in hashed]
    features = ops.sort(ops.concatenate([words, *ngrams], axis=1))  # 0 is none
    before = ops.pad(features[:, :-1], [[0, 0], [1, 0]])
    first = ops.cast(ops.not_equal(features, before), "float32")  # of those that are the same
    count = inputs.num_words + wide.buckets + 1
    weights = keras.layers.Embedding(count, 1, "zeros", trainable=False, name="wide")(features)
    terms = (weights[:, :, 0] * first, first)
    total, number = (ops.sum(values, axis=1, keepdims=True) for values in terms)
    log_odds = keras.layers.Dense(1, trainable=False, name="wide_log_odds")
    linear = log_odds(total / ops.sqrt(ops.maximum(number, 1)))
    least = keras.config.epsilon()  # as Keras' own loss clips probabilities
    kept = ops.clip(probability, least, 1 - least)
    return ops.sigmoid((1 - wide.share) * ops.log(kept / (1 - kept)) + wide.share * linear)


def layer_inputs(layer: str, model: "keras.Model", tokens: NDArray[Any]) -> NDArray[np.integer]:
    """What a layer of embeddings, "bigrams" or "wide", reads of each review, shape (reviews, n)."""
    import keras

    read = keras.Model(model.input, model.get_layer(layer).input)
    steps = batched_dataset(tokens, batch_size=FEATURE_BATCH_SIZE, shuffle=False)
    return np.asarray(read.predict(steps, verbose=0))


def _states(params: TrainParams, vectors: Any, mask: Any) -> Any:
    """The states of the architecture, see `sentiment.network.architectures`.

    Segments are rows of a larger batch, and become reviews again above all layers.
    """
    from keras import ops

    read = ARCHITECTURES[params.architecture]
    length, segment = vectors.shape[1], params.segment_length or vectors.shape[1]
    if segment >= length:
        return read(params, vectors, mask)
    vectors = ops.reshape(vectors, (-1, segment, vectors.shape[2]))
    mask = None if mask is None else ops.reshape(mask, (-1, segment))
    states = read(params, vectors, mask)
    return ops.reshape(states, (-1, length, states.shape[2]))


def _pool(states: Any, mask: Any, pooling: str) -> Any:
    """Reduce (batch, length, n) to (batch, features)."""
    import keras

    pooled = []
    if "max" in pooling:
        words = states
        if mask is not None:  # Keras' layer of maxima reads none
            words = keras.ops.where(keras.ops.expand_dims(mask, 2), states, FLOAT32_MIN)
        pooled.append(keras.layers.GlobalMaxPooling1D(name="max")(words))
    if "mean" in pooling:
        pooled.append(keras.layers.GlobalAveragePooling1D(name="mean")(states, mask=mask))
    pooled = pooled or [_last(states, mask)]
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="pooled")(pooled)


def _last(states: Any, mask: Any) -> Any:
    """The state of the last word, shape (batch, n), unless the states are such already."""
    from keras import ops

    if len(states.shape) == 2:
        return states
    if mask is None:
        return states[:, -1]
    words_so_far = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    last = ops.argmax(words_so_far, axis=1)  # the first of equal counts: padding adds none
    return ops.take_along_axis(states, last[:, None, None], axis=1)[:, 0]


def _optimizer(params: TrainParams, steps: int) -> "keras.optimizers.Optimizer":
    import keras

    optimizer = keras.optimizers.get(params.optimizer)
    return type(optimizer)(
        _learning_rate(params, steps),
        weight_decay=params.weight_decay or None,
        global_clipnorm=params.clip_norm or None,
        use_ema=params.average > 0,
        ema_momentum=params.average,
    )


def _learning_rate(
    params: TrainParams, steps: int
) -> "float | keras.optimizers.schedules.CosineDecay":
    """The step size, or what gives it for each of the training's steps.

    A cosine that decays to all of it (alpha 1) is constant, with Keras' warm-up before it.
    """
    import keras

    cosine = params.schedule.kind == "cosine"
    rising = math.floor(params.schedule.warmup_epochs * steps)
    if not cosine and not rising:
        return params.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else params.learning_rate,
        decay_steps=params.epochs * steps - rising,
        alpha=0.0 if cosine else 1.0,
        warmup_target=params.learning_rate if rising else None,
        warmup_steps=rising,
    )


def save_model(model: "keras.Model", path: Path) -> None:
    """Save a model in Keras' format, the same model as the same bytes.

    Keras writes the date into the archive and its metadata, and addresses in memory into the
    configuration, where they distinguish shared objects; here numbers do that.
    """
    numbers: dict[bytes, int] = {}

    def number(address: re.Match[bytes]) -> bytes:
        return str(numbers.setdefault(address[0], len(numbers) + 1)).encode()

    model.save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in sorted(archive.namelist())}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if name.endswith(".json"):
                content = ADDRESS.sub(number, DATE.sub(b"", content))
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980, where zip begins
