"""Training the model, from its first epoch or from where a checkpoint left it."""

import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.network.batches import Split, batched_dataset
from sentiment.network.initial_weights import bigram_vectors, wide_weights, word_vectors
from sentiment.network.model import Inputs, build_model, layer_inputs
from sentiment.network.params import TrainParams
from sentiment.network.progress import (
    COUNTERS,
    METRICS,
    OnEpoch,
    Progress,
    TrainingResult,
    history_frame,
)

if TYPE_CHECKING:
    import keras

VARIABLE, BEST, COUNTER, ROWS = "variable", "best", "counter", "rows"  # names of arrays


class Training:
    """A model with its data, before its first step or as `restore` puts it.

    `path` says whether it trains by the fast path or by stock Keras, and why.
    """

    def __init__(
        self, params: TrainParams, inputs: Inputs, train_split: Split, val_split: Split
    ) -> None:
        self.params, self.train_split, self.val_split = params, train_split, val_split
        self.model = build_initialized_model(params, inputs, train_split)
        from sentiment.network.fast_lstm import accelerate  # imports TensorFlow, so after Keras

        self.path = accelerate(self.model, params)

    def capture(self, progress: Progress) -> dict[str, NDArray[Any]]:
        """All state, as arrays by name: what it takes to resume the training to the same bits.

        The order of the batches needs no state: with a seed set, every epoch draws the same one.
        """
        variables = [variable.numpy() for variable in _variables(self.model)]
        return {
            **{f"{VARIABLE}-{at}": np.asarray(value) for at, value in enumerate(variables)},
            **{f"{BEST}-{at}": weights for at, weights in enumerate(progress.best)},
            **{f"{COUNTER}-{name}": np.asarray(value) for name, value in progress.counters.items()},
            ROWS: np.array(
                [[row[name] for name in METRICS] for row in progress.epochs], np.float64
            ),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Progress:
        """Go to the state that `capture` took, and return how far that is."""
        saved = _numbered(arrays, VARIABLE)
        for variable, value in zip(_variables(self.model), saved, strict=True):
            variable.assign(value)
        rows = [dict(zip(METRICS, row, strict=True)) for row in arrays[ROWS].tolist()]
        names = [name for name in COUNTERS if f"{COUNTER}-{name}" in arrays]
        counters = {name: arrays[f"{COUNTER}-{name}"].item() for name in names}
        return Progress(rows, counters, _numbered(arrays, BEST))

    def fit(self, progress: Progress, on_epoch: OnEpoch, verbose: bool = True) -> TrainingResult:
        """Train the model in place, and call `on_epoch` as each epoch ends.

        Raises:
            UserError: a metric of an epoch is not finite: the training diverged.
        """
        params, rows = self.params, list(progress.epochs)
        stopping = _early_stopping(params)
        stopped = bool(progress.counters.get("stopped_epoch"))
        weights = []  # see King and Zeng 2001, *Logistic Regression in Rare Events Data*
        if params.class_weight != "none":
            from sklearn.utils.class_weight import compute_sample_weight

            weights = [compute_sample_weight(params.class_weight, self.train_split.y)]
        self.model.fit(
            batched_dataset(
                *self.train_split, *weights, batch_size=params.batch_size, shuffle=True
            ),
            validation_data=batched_dataset(
                *self.val_split, batch_size=params.validation_batch_size, shuffle=False
            ),
            initial_epoch=len(rows),
            epochs=len(rows) if stopped else params.epochs,
            shuffle=False,  # the batches are shuffled already
            # in this order: averages are validated, the best of them are kept, weights go into a
            # checkpoint; and early stopping begins before its counts are restored
            callbacks=[
                *([stopping] if stopping else []),
                *([_ema_callback(self.model)] if params.average else []),
                _progress_callback(rows, stopping, progress, on_epoch),
            ],
            verbose=(1 if sys.stdout.isatty() else 2) if verbose else 0,
        )
        return TrainingResult(
            history_frame(rows), stopping.best_epoch + 1 if stopping else len(rows)
        )


def _variables(model: "keras.Model") -> "list[keras.Variable]":
    """All state: weights, the generators of dropout, and the optimizer's."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _numbered(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[NDArray[Any]]:
    count = sum(name.startswith(f"{kind}-") for name in arrays)
    return [arrays[f"{kind}-{at}"] for at in range(count)]


def set_seeds(params: TrainParams) -> None:
    """Seed Python, NumPy and TensorFlow, and make operations deterministic if wanted."""
    load_keras().utils.set_random_seed(params.seed)
    if params.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def build_initialized_model(
    params: TrainParams, inputs: Inputs, train_split: Split
) -> "keras.Model":
    """The model before its first step, with stock Keras' layers."""
    set_seeds(params)
    model = build_model(params, inputs)
    _initialize_weights(model, params, inputs, train_split)
    if params.adversarial:
        from sentiment.network.adversarial import make_adversarial

        make_adversarial(model, params.adversarial)
    return model


def _initialize_weights(
    model: "keras.Model", params: TrainParams, inputs: Inputs, train_split: Split
) -> None:
    """Before training, let embeddings begin with what can be counted, and fit the wide path."""
    if params.embedding_initializer == "cooccurrence":
        marks = (inputs.padding_token, inputs.unknown_token)
        vectors = word_vectors(train_split.x, inputs.num_words, params.embedding_units, marks)
        model.get_layer("embedding").set_weights([vectors])
    if params.bigrams.units:
        embedding, buckets = (
            model.get_layer("bigrams"),
            layer_inputs("bigrams", model, train_split.x),
        )
        start = embedding.get_weights()[0]
        embedding.set_weights([bigram_vectors(start, buckets, train_split.y)])
    if params.wide.buckets:
        _fit_wide(model, params, train_split)


def _fit_wide(model: "keras.Model", params: TrainParams, train_split: Split) -> None:
    """Fit the wide path, and let a step of training see the deep path alone.

    Trained on the mean of both, the network would learn only what the linear model leaves over,
    which validated no better (docs/accuracy.md).
    """
    import keras

    embedding, features = model.get_layer("wide"), layer_inputs("wide", model, train_split.x)
    weights, bias = wide_weights(features, train_split.y, embedding.input_dim, params)
    embedding.set_weights([weights])
    model.get_layer("wide_log_odds").set_weights([np.ones((1, 1)), bias])
    deep = keras.Model(model.input, model.get_layer("probability").output)
    whole = model.call  # of the instance, not of its class: what is saved stays plain Keras
    model.call = lambda tokens, training=None, **others: (deep if training else whole)(
        tokens, training=training, **others
    )


def _progress_callback(
    rows: list[dict[str, float]],
    stopping: "keras.callbacks.EarlyStopping | None",
    start: Progress,
    on_epoch: OnEpoch,
) -> "keras.callbacks.Callback":
    """A callback that adds each epoch's metrics to `rows` and reports how far the training is."""
    import keras

    begun: list[float] = []

    def resume(_: Any) -> None:
        if start.counters:  # Keras has just reset them
            vars(stopping).update(start.counters, best_weights=start.best)

    def begin(*_: Any) -> None:
        begun.append(time.perf_counter())

    def end(epoch: int, logs: dict[str, float]) -> None:
        metrics = {**logs, "seconds": time.perf_counter() - begun[-1]}
        rows.append({name: float(metrics[name]) for name in METRICS})
        if not all(map(math.isfinite, rows[-1].values())):
            loss = rows[-1]["loss"]
            raise UserError(f"Epoch {epoch + 1} diverged, loss {loss}: lower train.learning_rate.")
        counters = {name: getattr(stopping, name) for name in COUNTERS} if stopping else {}
        on_epoch(Progress(list(rows), counters, stopping.best_weights if stopping else []))

    return keras.callbacks.LambdaCallback(
        on_train_begin=resume, on_epoch_begin=begin, on_epoch_end=end
    )


def _ema_callback(model: "keras.Model") -> "keras.callbacks.Callback":
    """A callback that validates with the averages of the weights. In the end Keras keeps these.

    Keras' own, `SwapEMAWeights`, adds and subtracts them, which changes the last bits, and swaps
    them back before `EarlyStopping` copies the best ones.
    """
    import keras

    def swap(*_: Any) -> None:
        averages = model.optimizer._model_variables_moving_average
        for weight, average in zip(model.trainable_variables, averages, strict=True):
            value = weight.numpy().copy()
            weight.assign(average)
            average.assign(value)

    return keras.callbacks.LambdaCallback(on_test_begin=swap, on_epoch_end=swap)


def _early_stopping(params: TrainParams) -> "keras.callbacks.EarlyStopping | None":
    import keras

    wanted = params.early_stopping
    patience = wanted.patience or (params.epochs if params.keep_best else 0)
    if not patience:
        return None
    return keras.callbacks.EarlyStopping(
        monitor=wanted.monitor,
        mode="min" if wanted.monitor == "val_loss" else "max",
        min_delta=wanted.min_delta if wanted.patience else 0.0,
        patience=patience,
        restore_best_weights=True,
    )


def training_metrics(trained: TrainingResult) -> dict[str, float]:
    """The kept epoch's metrics, its number and the number of epochs trained."""
    kept = trained.history["epoch"] == trained.kept_epoch
    row = trained.history[kept].iloc[0]
    metrics = {name: float(row[name]) for name in METRICS if name != "seconds"}
    return {**metrics, "kept_epoch": trained.kept_epoch, "epochs": len(trained.history)}
