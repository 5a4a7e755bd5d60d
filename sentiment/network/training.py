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
from sentiment.network.inputs import Inputs
from sentiment.network.linear import initialize_linear_model
from sentiment.network.model import build_model, compile_model
from sentiment.network.params import TrainParams
from sentiment.network.progress import (
    COUNTERS,
    METRICS,
    NO_PROGRESS,
    OnEpoch,
    Progress,
    TrainingResult,
    history_frame,
)
from sentiment.network.word_vectors import word_vectors
from sentiment.special_tokens import PADDING_TOKEN, UNKNOWN_TOKEN

if TYPE_CHECKING:
    import keras

VALIDATION_BATCH_SIZE = 256  # faster than the batches of a training, with the same metrics
# Names of saved arrays.
VARIABLE = "variable"
BEST = "best"
COUNTER = "counter"
EPOCHS = "epochs"


class Training:
    """A model with its data, before its first step or as restored from a checkpoint.

    Args:
        params: the section `train`.
        inputs: the inputs of the model.
        train_split: the training set.
        val_split: the validation set.
        will_restore: the caller restores all weights next, so the linear component is not trained
            here.

    Attributes:
        model: the model.
        fitted_model: the model that `fit` trains. With a linear component, only the network's
            weights are trained.
        implementation: how the model is trained: "fast LSTM", or "stock Keras" and the reason.
    """

    def __init__(
        self,
        params: TrainParams,
        inputs: Inputs,
        train_split: Split,
        val_split: Split,
        will_restore: bool = False,
    ) -> None:
        self.params = params
        self.train_split = train_split
        self.val_split = val_split
        if params.linear.share:
            # The seeds are set again below, so this does not change the network.
            linear_model = linear_component_model(
                params, inputs, train_split, val_split, will_restore
            )
        self.model = build_initialized_model(params, inputs, train_split)
        self.fitted_model = self.model
        if params.linear.share:
            from sentiment.network import linear_component  # imports Keras

            network = self.model
            self.model = linear_component.add_linear_component(
                network, linear_model, params.linear.share
            )
            self.fitted_model = linear_component.NetworkWithLinear(network, self.model)
            compile_model(self.fitted_model, params, inputs)
        from sentiment.network.fast_lstm import accelerate  # imports TensorFlow, so after Keras

        self.implementation = accelerate(self.fitted_model, params)

    def capture(self, progress: Progress) -> dict[str, NDArray[Any]]:
        """Return the complete state as named arrays.

        A training that is resumed from it gives the same bits. The state does not include the order
        of the batches, which is the same in every epoch because the seed is set.
        """
        variables = [variable.numpy() for variable in _variables(self.fitted_model)]
        epochs = [[epoch[name] for name in METRICS] for epoch in progress.epochs]
        return {
            **{f"{VARIABLE}-{at}": np.asarray(value) for at, value in enumerate(variables)},
            **{f"{BEST}-{at}": weights for at, weights in enumerate(progress.best)},
            **{f"{COUNTER}-{name}": np.asarray(value) for name, value in progress.counters.items()},
            EPOCHS: np.array(epochs, np.float64),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Progress:
        """Restore the state that `capture` returned, and return its progress."""
        saved = _select_arrays(arrays, VARIABLE)
        for variable, value in zip(_variables(self.fitted_model), saved, strict=True):
            variable.assign(value)
        epochs = [dict(zip(METRICS, epoch, strict=True)) for epoch in arrays[EPOCHS].tolist()]
        names = [name for name in COUNTERS if f"{COUNTER}-{name}" in arrays]
        counters = {name: arrays[f"{COUNTER}-{name}"].item() for name in names}
        return Progress(epochs, counters, _select_arrays(arrays, BEST))

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
        stopping = _early_stopping_callback(params)
        has_stopped = bool(progress.counters.get("stopped_epoch"))
        # Source: King and Zeng 2001, *Logistic Regression in Rare Events Data*
        sample_weights = []
        if params.class_weight != "none":
            from sklearn.utils.class_weight import compute_sample_weight

            sample_weights = [compute_sample_weight(params.class_weight, self.train_split.y)]
        self.fitted_model.fit(
            batched_dataset(
                *self.train_split, *sample_weights, batch_size=params.batch_size, shuffle=True
            ),
            validation_data=batched_dataset(
                *self.val_split, batch_size=VALIDATION_BATCH_SIZE, shuffle=False
            ),
            initial_epoch=len(epochs),
            epochs=len(epochs) if has_stopped else params.epochs,
            shuffle=False,  # the batches are shuffled already
            # Early stopping comes first: after an epoch, it saves the best weights before the
            # progress callback copies them. At the start, it resets its counters before the
            # progress callback restores them.
            callbacks=[
                *([stopping] if stopping else []),
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


def _select_arrays(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[NDArray[Any]]:
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
    if params.architecture == "linear":
        initialize_linear_model(model, params, train_split)
    elif params.embedding_initializer == "cooccurrence":
        special_tokens = (PADDING_TOKEN, UNKNOWN_TOKEN)
        vectors = word_vectors(
            train_split.x, inputs.num_words, params.embedding_units, special_tokens
        )
        model.get_layer("embedding").set_weights([vectors])
    return model


def linear_component_model(
    params: TrainParams, inputs: Inputs, train_split: Split, val_split: Split, will_restore: bool
) -> "keras.Model":
    """Return the linear component, trained unless its weights are restored next."""
    started = time.perf_counter()
    component = Training(params.linear_component_params(), inputs, train_split, val_split)
    if not will_restore:
        result = component.fit(NO_PROGRESS, lambda _: None, verbose=False)
        print(
            f"Trained the linear component in {time.perf_counter() - started:.0f} s: "
            f"val_accuracy {training_metrics(result)['val_accuracy']:.4f}",
            flush=True,
        )
    return component.model


def _progress_callback(
    epochs: list[dict[str, float]],
    stopping: "keras.callbacks.EarlyStopping | None",
    progress: Progress,
    on_epoch: OnEpoch,
) -> "keras.callbacks.Callback":
    """Return a callback that appends each epoch's metrics to `epochs` and calls `on_epoch`."""
    import keras

    epoch_start = 0.0

    def resume(_: Any) -> None:
        if stopping and progress.counters:  # Keras has just reset them
            for name, value in progress.counters.items():
                setattr(stopping, name, value)
            stopping.best_weights = progress.best

    def begin(*_: Any) -> None:
        nonlocal epoch_start
        epoch_start = time.perf_counter()

    def end(epoch: int, logs: dict[str, float]) -> None:
        metrics = {**logs, "seconds": time.perf_counter() - epoch_start}
        epochs.append({name: float(metrics[name]) for name in METRICS})
        if not all(map(math.isfinite, epochs[-1].values())):
            loss = epochs[-1]["loss"]
            raise UserError(
                f"The training diverged in epoch {epoch + 1} (loss {loss}). "
                "Lower train.learning_rate."
            )
        counters = {name: getattr(stopping, name) for name in COUNTERS} if stopping else {}
        on_epoch(Progress(list(epochs), counters, stopping.best_weights if stopping else []))

    return keras.callbacks.LambdaCallback(
        on_train_begin=resume, on_epoch_begin=begin, on_epoch_end=end
    )


def _early_stopping_callback(params: TrainParams) -> "keras.callbacks.EarlyStopping | None":
    import keras

    early_stopping = params.early_stopping
    # `keep_best` alone: a patience that is never exhausted keeps the best weights.
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
