"""Train the model, from the first epoch or from a checkpoint."""

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

VARIABLE, BEST, COUNTER, EPOCHS = "variable", "best", "counter", "epochs"  # names of saved arrays


class Training:
    """A model with its data, before its first step or as restored from a checkpoint.

    Attributes:
        model: the model.
        path: how the model is trained: "fast LSTM", or "stock Keras" and the reason.
    """

    def __init__(
        self, params: TrainParams, inputs: Inputs, train_split: Split, val_split: Split
    ) -> None:
        self.params = params
        self.train_split = train_split
        self.val_split = val_split
        self.model = build_initialized_model(params, inputs, train_split)
        from sentiment.network.fast_lstm import accelerate  # imports TensorFlow, so after Keras

        self.path = accelerate(self.model, params)

    def capture(self, progress: Progress) -> dict[str, NDArray[Any]]:
        """Return the complete state as named arrays. A resumed training gives the same bits.

        The order of batches is not part of it. With a seed set, every epoch draws the same one.
        """
        variables = [variable.numpy() for variable in _variables(self.model)]
        epochs = [[epoch[name] for name in METRICS] for epoch in progress.epochs]
        return {
            **{f"{VARIABLE}-{at}": np.asarray(value) for at, value in enumerate(variables)},
            **{f"{BEST}-{at}": weights for at, weights in enumerate(progress.best)},
            **{f"{COUNTER}-{name}": np.asarray(value) for name, value in progress.counters.items()},
            EPOCHS: np.array(epochs, np.float64),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Progress:
        """Restore the state that `capture` returned, and return its progress."""
        saved = _numbered(arrays, VARIABLE)
        for variable, value in zip(_variables(self.model), saved, strict=True):
            variable.assign(value)
        epochs = [dict(zip(METRICS, epoch, strict=True)) for epoch in arrays[EPOCHS].tolist()]
        names = [name for name in COUNTERS if f"{COUNTER}-{name}" in arrays]
        counters = {name: arrays[f"{COUNTER}-{name}"].item() for name in names}
        return Progress(epochs, counters, _numbered(arrays, BEST))

    def fit(self, progress: Progress, on_epoch: OnEpoch, verbose: bool = True) -> TrainingResult:
        """Train the model in place, from `progress` on, and call `on_epoch` after each epoch.

        Args:
            progress: `NO_PROGRESS`, or what `restore` returned.
            on_epoch: gets the progress after each epoch.
            verbose: print Keras' progress.

        Raises:
            UserError: a metric of an epoch is not finite: the training diverged.
        """
        params = self.params
        epochs = list(progress.epochs)
        stopping = _early_stopping(params)
        has_stopped = bool(progress.counters.get("stopped_epoch"))
        # Source: King and Zeng 2001, *Logistic Regression in Rare Events Data*
        sample_weights = []
        if params.class_weight != "none":
            from sklearn.utils.class_weight import compute_sample_weight

            sample_weights = [compute_sample_weight(params.class_weight, self.train_split.y)]
        self.model.fit(
            batched_dataset(
                *self.train_split, *sample_weights, batch_size=params.batch_size, shuffle=True
            ),
            validation_data=batched_dataset(
                *self.val_split, batch_size=params.validation_batch_size, shuffle=False
            ),
            initial_epoch=len(epochs),
            epochs=len(epochs) if has_stopped else params.epochs,
            shuffle=False,  # the batches are shuffled already
            # The order matters: averaged weights are validated, the best of them are kept, and the
            # progress then includes them. Early stopping resets its counters before they are
            # restored.
            callbacks=[
                *([stopping] if stopping else []),
                *([_ema_callback(self.model)] if params.average else []),
                _progress_callback(epochs, stopping, progress, on_epoch),
            ],
            verbose=(1 if sys.stdout.isatty() else 2) if verbose else 0,
        )
        kept_epoch = stopping.best_epoch + 1 if stopping else len(epochs)
        return TrainingResult(history_frame(epochs), kept_epoch)


def _variables(model: "keras.Model") -> "list[keras.Variable]":
    """Return all state: weights, the generators of dropout, and the optimizer's variables."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _numbered(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[NDArray[Any]]:
    """Return the arrays with names `kind`-0, `kind`-1 and so on."""
    count = sum(name.startswith(f"{kind}-") for name in arrays)
    return [arrays[f"{kind}-{at}"] for at in range(count)]


def set_seeds(params: TrainParams) -> None:
    """Seed Python, NumPy and TensorFlow, and make operations deterministic if params say so."""
    load_keras().utils.set_random_seed(params.seed)
    if params.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def build_initialized_model(
    params: TrainParams, inputs: Inputs, train_split: Split
) -> "keras.Model":
    """Return the compiled model before its first step, with stock Keras' layers."""
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
    """Initialize embeddings from counts, and fit the linear component."""
    if params.embedding_initializer == "cooccurrence":
        special_tokens = (inputs.padding_token, inputs.unknown_token)
        vectors = word_vectors(
            train_split.x, inputs.num_words, params.embedding_units, special_tokens
        )
        model.get_layer("embedding").set_weights([vectors])
    if params.bigrams.units:
        embedding = model.get_layer("bigrams")
        buckets = layer_inputs("bigrams", model, train_split.x)
        initial = embedding.get_weights()[0]
        embedding.set_weights([bigram_vectors(initial, buckets, train_split.y)])
    if params.wide.buckets:
        _fit_linear_component(model, params, train_split)


def _fit_linear_component(model: "keras.Model", params: TrainParams, train_split: Split) -> None:
    """Fit the linear component, and leave it out of training steps.

    If the mean of both were trained, the network would learn only what the linear model gets wrong,
    which gave no better validation accuracy (docs/accuracy.md).
    """
    import keras

    embedding = model.get_layer("wide")
    features = layer_inputs("wide", model, train_split.x)
    weights, bias = wide_weights(features, train_split.y, embedding.input_dim, params)
    embedding.set_weights([weights])
    model.get_layer("wide_log_odds").set_weights([np.ones((1, 1)), bias])
    network = keras.Model(model.input, model.get_layer("probability").output)
    whole = model.call  # replaced in the instance, not its class: what is saved stays plain Keras
    model.call = lambda tokens, training=None, **others: (network if training else whole)(
        tokens, training=training, **others
    )


def _progress_callback(
    epochs: list[dict[str, float]],
    stopping: "keras.callbacks.EarlyStopping | None",
    progress: Progress,
    on_epoch: OnEpoch,
) -> "keras.callbacks.Callback":
    """Return a callback that appends each epoch's metrics to `epochs` and calls `on_epoch`."""
    import keras

    start = 0.0  # of the epoch

    def resume(_: Any) -> None:
        if progress.counters:  # Keras has just reset them
            vars(stopping).update(progress.counters, best_weights=progress.best)

    def begin(*_: Any) -> None:
        nonlocal start
        start = time.perf_counter()

    def end(epoch: int, logs: dict[str, float]) -> None:
        metrics = {**logs, "seconds": time.perf_counter() - start}
        epochs.append({name: float(metrics[name]) for name in METRICS})
        if not all(map(math.isfinite, epochs[-1].values())):
            loss = epochs[-1]["loss"]
            raise UserError(f"Epoch {epoch + 1} diverged, loss {loss}: lower train.learning_rate.")
        counters = {name: getattr(stopping, name) for name in COUNTERS} if stopping else {}
        on_epoch(Progress(list(epochs), counters, stopping.best_weights if stopping else []))

    return keras.callbacks.LambdaCallback(
        on_train_begin=resume, on_epoch_begin=begin, on_epoch_end=end
    )


def _ema_callback(model: "keras.Model") -> "keras.callbacks.Callback":
    """Return a callback that validates with the averages of the weights.

    At the end, Keras keeps the averages. Keras' own callback, `SwapEMAWeights`, adds and subtracts
    them, which changes the last bits, and swaps them back before `EarlyStopping` copies the best.
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

    early_stopping = params.early_stopping
    patience = early_stopping.patience or (params.epochs if params.keep_best else 0)
    if not patience:
        return None
    return keras.callbacks.EarlyStopping(
        monitor=early_stopping.monitor,
        mode="min" if early_stopping.monitor == "val_loss" else "max",
        min_delta=early_stopping.min_delta if early_stopping.patience else 0.0,
        patience=patience,
        restore_best_weights=True,
    )


def training_metrics(result: TrainingResult) -> dict[str, float]:
    """Return the metrics of the kept epoch, its number, and the number of epochs trained."""
    is_kept = result.history["epoch"] == result.kept_epoch
    row = result.history[is_kept].iloc[0]
    metrics = {name: float(row[name]) for name in METRICS if name != "seconds"}
    return {**metrics, "kept_epoch": result.kept_epoch, "epochs": len(result.history)}
