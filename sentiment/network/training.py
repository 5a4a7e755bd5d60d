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
from sentiment.network import initial_embeddings, state
from sentiment.network.architectures import accelerate
from sentiment.network.batches import Part, batches
from sentiment.network.model import Inputs, bigram_buckets, build_model
from sentiment.network.state import COUNTERS, METRICS, OnEpoch, Progress, Trained, history_of
from sentiment.network.train_options import Train

if TYPE_CHECKING:
    import keras


class Training:
    """A model with its data, before its first step or as `restore` puts it.

    Attributes:
        model: the model.
        path: by which path it is trained.
    """

    def __init__(self, params: Train, inputs: Inputs, learning: Part, validation: Part) -> None:
        """Make the model.

        Args:
            params: the `train` section.
            inputs: what the model reads.
            learning: what is trained on.
            validation: what is validated on after each epoch.
        """
        self.params, self.learning, self.validation = params, learning, validation
        self.model = initial_model(params, inputs, learning)
        self.path = accelerate(self.model, params)

    def capture(self, progress: Progress) -> dict[str, NDArray[Any]]:
        """All state, to the bit, as arrays by name."""
        return state.capture(self.model, progress)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Progress:
        """Go to the state that `capture` took, and return how far that is."""
        return state.restore(self.model, arrays)

    def fit(self, progress: Progress, on_epoch: OnEpoch, show: bool = True) -> Trained:
        """Train the model in place, and call `on_epoch` as each epoch ends.

        Args:
            progress: where to begin.
            on_epoch: called with how far the training is.
            show: whether to print how each epoch goes.

        Raises:
            UserError: a metric of an epoch is not finite: the training diverged.
        """
        params, rows = self.params, list(progress.rows)
        stopping = _early_stopping(params, progress)
        stopped = bool(progress.counters.get("stopped_epoch"))
        weights = _weights(self.learning, params)
        self.model.fit(
            batches(*self.learning, *weights, batch_size=params.batch_size, shuffle=True),
            validation_data=batches(
                *self.validation, batch_size=params.validation_batch_size, shuffle=False
            ),
            initial_epoch=len(rows),
            epochs=len(rows) if stopped else params.epochs,
            shuffle=False,  # the batches are shuffled already
            # in this order: averages are validated, the best of them are kept, weights go into a
            # checkpoint
            callbacks=[
                *stopping,
                *([_averager()] if params.average else []),
                _recorder(rows, stopping, on_epoch),
            ],
            verbose=(1 if sys.stdout.isatty() else 2) if show else 0,
        )
        return Trained(history_of(rows), stopping[0].best_epoch + 1 if stopping else len(rows))


def prepare(params: Train) -> None:
    """Seed Python, NumPy and TensorFlow, and make operations deterministic if wanted."""
    load_keras().utils.set_random_seed(params.seed)
    if params.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def initial_model(params: Train, inputs: Inputs, learning: Part) -> "keras.Model":
    """The model before its first step, with stock Keras' layers."""
    prepare(params)
    model = build_model(params, inputs)
    _start_vectors(model, params, inputs, learning)
    if params.adversarial:
        from sentiment.network.adversarial import make_adversarial

        make_adversarial(model, params.adversarial)
    return model


def _start_vectors(model: "keras.Model", params: Train, inputs: Inputs, learning: Part) -> None:
    """Let the embeddings begin with what can be counted before training."""
    if params.embedding_initializer == "cooccurrence":
        marks = (inputs.padding_token, inputs.unknown_token)
        vectors = initial_embeddings.word_vectors(
            learning.x, inputs.num_words, params.embedding_units, marks
        )
        model.get_layer("embedding").set_weights([vectors])
    if params.bigrams.units:
        embedding = model.get_layer("bigrams")
        buckets = bigram_buckets(model, learning.x)
        embedding.set_weights(
            [initial_embeddings.bigram_vectors(embedding.get_weights()[0], buckets, learning.y)]
        )


def _weights(learning: Part, params: Train) -> list[NDArray[np.float32]]:
    """What each review counts, shape (reviews,), if not all count the same.

    Source: King and Zeng 2001, Logistic Regression in Rare Events Data; scikit-learn's `balanced`.

    Raises:
        UserError: all have the same label, so that there is nothing to balance.
    """
    if params.class_weight == "none":
        return []
    counts = np.bincount(learning.y, minlength=2)
    if not counts.all():
        raise UserError(
            f"train.class_weight balanced: all {len(learning.y):,} reviews to learn from have the "
            "same label."
        )
    return [(len(learning.y) / (2 * counts)).astype(np.float32)[learning.y]]


def _recorder(
    rows: list[dict[str, float]],
    stopping: "list[keras.callbacks.EarlyStopping]",
    on_epoch: OnEpoch,
) -> "keras.callbacks.Callback":
    """A callback that adds each epoch's metrics to `rows` and reports how far the training is."""
    import keras

    begun: list[float] = []

    def begin(*_: Any) -> None:
        begun.append(time.perf_counter())

    def end(epoch: int, logs: dict[str, float]) -> None:
        metrics = {**logs, "seconds": time.perf_counter() - begun[-1]}
        rows.append({name: float(metrics[name]) for name in METRICS})
        if not all(map(math.isfinite, rows[-1].values())):
            loss = rows[-1]["loss"]
            raise UserError(f"Epoch {epoch + 1} diverged, loss {loss}: lower train.learning_rate.")
        on_epoch(Progress(list(rows), *_state_of(stopping)))

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def _averager() -> "keras.callbacks.Callback":
    """A callback that validates with the averages of the weights. In the end Keras keeps these.

    Keras' own, `SwapEMAWeights`, adds and subtracts them, which changes the last bits, and swaps
    them back before `EarlyStopping` copies the best ones.
    """
    import keras

    def swap(model: "keras.Model") -> None:
        averages = model.optimizer._model_variables_moving_average
        for weight, average in zip(model.trainable_variables, averages, strict=True):
            value = weight.numpy().copy()
            weight.assign(average)
            average.assign(value)

    class Averager(keras.callbacks.Callback):  # type: ignore[misc]
        def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            swap(self.model)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            swap(self.model)

    return Averager()


def _state_of(
    stopping: "list[keras.callbacks.EarlyStopping]",
) -> tuple[dict[str, float], list[NDArray[Any]]]:
    if not stopping:
        return {}, []
    return {name: getattr(stopping[0], name) for name in COUNTERS}, stopping[0].best_weights


def _early_stopping(params: Train, progress: Progress) -> "list[keras.callbacks.EarlyStopping]":
    """Keras' callback, if it is wanted, with its state as it was where the training is resumed."""
    import keras

    class EarlyStopping(keras.callbacks.EarlyStopping):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            super().on_train_begin(logs)
            if progress.counters:
                self.__dict__.update(progress.counters, best_weights=progress.best)

    wanted = params.early_stopping
    patience = wanted.patience or (params.epochs if params.keep_best else 0)
    stopping = EarlyStopping(
        monitor=wanted.monitor,
        mode="min" if wanted.monitor == "val_loss" else "max",
        min_delta=wanted.min_delta if wanted.patience else 0.0,
        patience=patience,
        restore_best_weights=True,
    )
    return [stopping] if patience else []


def summarize(trained: Trained) -> dict[str, float]:
    """The kept epoch's metrics, its number and the number of epochs trained."""
    kept = trained.history["epoch"] == trained.kept_epoch
    row = trained.history[kept].iloc[0]
    metrics = {name: float(row[name]) for name in METRICS if name != "seconds"}
    return {**metrics, "kept_epoch": trained.kept_epoch, "epochs": len(trained.history)}
