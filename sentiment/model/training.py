"""Train the model, from the first epoch or from a state that was captured after an epoch.

A training is a function of params, data and machine: the batches have the same order in each epoch,
and the state has the weights, the generators of dropout and the optimizer. A training that resumes
from a state therefore gives the same bits as one that was not interrupted.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.model.batches import Split, batched_dataset
from sentiment.model.build import build_model, compile_model
from sentiment.model.linear import find_features, initialize_linear_model
from sentiment.params import AnyModel, LinearParams
from sentiment.text.padding import Layout

if TYPE_CHECKING:
    import keras

VALIDATION_BATCH_SIZE = 256  # faster than the batches of a training, with the same metrics
# Charts are sorted by name, and this one comes after the curves.
KEPT_EPOCH = "weights_from_epoch"
EPOCH_METRICS = ("accuracy", "loss", "val_accuracy", "val_loss")
State = dict[str, NDArray[Any]]


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and let TensorFlow's operations give the same bits."""
    keras = load_keras()
    import tensorflow as tf  # after Keras, whose import quiets it

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


class DivergedError(UserError):
    """The loss of an epoch is not finite."""


class Training:
    """A model and its training so far.

    The caller seeds the generators before, see `make_deterministic`.

    Attributes:
        epoch_metrics: `EPOCH_METRICS` of each epoch so far.
        best: with `patience`, the weights of the epoch with the lowest `val_loss`.
    """

    def __init__(
        self,
        params: AnyModel,
        layout: Layout,
        label_count: int,
        train_split: Split,
        val_split: Split,
        vectors: NDArray[np.float32] | None = None,
    ) -> None:
        self.params = params
        self.train_split = train_split
        self.val_split = val_split
        known = None
        if isinstance(params, LinearParams):
            known = find_features(params, train_split, label_count, vectors)
        self.model = build_model(params, layout, label_count, vectors, known)
        compile_model(self.model, params, len(train_split.y))
        if known is not None:
            initialize_linear_model(self.model, known)
        self.model.optimizer.build(self.model.trainable_variables)
        self.epoch_metrics: list[dict[str, float]] = []
        self.best: list[NDArray[Any]] = []

    def capture(self) -> State:
        """Return everything that the next epochs depend on, as named arrays."""
        rows = [[epoch[name] for name in EPOCH_METRICS] for epoch in self.epoch_metrics]
        variables = [np.asarray(variable.numpy()) for variable in _variables(self.model)]
        return {
            **{f"variable-{number}": value for number, value in enumerate(variables)},
            **{f"best-{number}": weights for number, weights in enumerate(self.best)},
            "epochs": np.array(rows, np.float64),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `capture` returned."""
        for number, variable in enumerate(_variables(self.model)):
            variable.assign(state[f"variable-{number}"])
        count = sum(name.startswith("best-") for name in state)
        self.best = [state[f"best-{number}"] for number in range(count)]
        rows = state["epochs"].tolist()
        self.epoch_metrics = [dict(zip(EPOCH_METRICS, row, strict=True)) for row in rows]

    @property
    def weights_from_epoch(self) -> int:
        """The epoch whose weights the model gets, from 1: the best with patience, else the last."""
        losses = [epoch["val_loss"] for epoch in self.epoch_metrics]
        return losses.index(min(losses)) + 1 if self.params.patience else len(losses)

    @property
    def batches(self) -> int:
        """The number of batches of an epoch."""
        return math.ceil(len(self.train_split.y) / self.params.batch_size)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained, or `val_loss` has not improved for too long.

        Keras' `EarlyStopping` counts from the start of a process, so it cannot resume.
        """
        trained = len(self.epoch_metrics)
        if trained == 0:
            return False
        if trained == self.params.epochs:
            return True
        waited = trained - self.weights_from_epoch
        return self.params.patience > 0 and waited >= self.params.patience

    def fit(
        self, after_epoch: Callable[[], None], callbacks: "Iterable[keras.callbacks.Callback]" = ()
    ) -> None:
        """Train the remaining epochs.

        Args:
            after_epoch: called after each epoch, when `capture` has it.
            callbacks: those of Keras that show the training.

        Raises:
            DivergedError: the loss of an epoch is not finite.
        """
        sample_weights = []
        if self.params.class_weight != "none":
            # Source: King and Zeng 2001, *Logistic Regression in Rare Events Data*
            from sklearn.utils.class_weight import compute_sample_weight

            sample_weights = [compute_sample_weight(self.params.class_weight, self.train_split.y)]
        if not self.is_done:
            self.model.fit(
                batched_dataset(
                    *self.train_split,
                    *sample_weights,
                    batch_size=self.params.batch_size,
                    shuffle=True,
                ),
                validation_data=batched_dataset(
                    *self.val_split, batch_size=VALIDATION_BATCH_SIZE, shuffle=False
                ),
                initial_epoch=len(self.epoch_metrics),
                epochs=self.params.epochs,
                shuffle=False,  # Keras ignores True for a dataset, and warns
                callbacks=[*callbacks, self._epoch_callback(after_epoch)],
                verbose=0,
            )
        if self.best:
            self.model.set_weights(self.best)

    def _epoch_callback(self, after_epoch: Callable[[], None]) -> "keras.callbacks.Callback":
        """Return a callback that keeps the metrics of each epoch, and stops a training in time."""
        import keras

        def end(epoch: int, logs: dict[str, float]) -> None:
            if not math.isfinite(logs["loss"] + logs["val_loss"]):
                losses = f"loss {logs['loss']}, val_loss {logs['val_loss']}"
                raise DivergedError(
                    f"The training diverged in epoch {epoch + 1} ({losses}). Lower learning_rate."
                )
            metrics = {name: shortest_decimal(logs[name]) for name in EPOCH_METRICS}
            self.epoch_metrics.append(metrics)
            if self.params.patience and self.weights_from_epoch == len(self.epoch_metrics):
                self.best = self.model.get_weights()
            self.model.stop_training = self.is_done
            after_epoch()

        return keras.callbacks.LambdaCallback(on_epoch_end=end)

    @property
    def history(self) -> pd.DataFrame:
        """A row for each epoch: `epoch`, from 1, and `EPOCH_METRICS`."""
        table = pd.DataFrame(self.epoch_metrics, columns=list(EPOCH_METRICS))
        table.insert(0, "epoch", range(1, len(table) + 1))
        return table

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the kept epoch, and its number."""
        kept = self.epoch_metrics[self.weights_from_epoch - 1]
        return {**{name: kept[name] for name in EPOCH_METRICS}, KEPT_EPOCH: self.weights_from_epoch}


def shortest_decimal(value: float) -> float:
    """Return the number with the fewest digits that is the same float32, as Keras' metrics are.

    Otherwise, tables show 0.9526500105857849 instead of 0.95265.
    """
    return float(str(np.float32(value)))


def _variables(model: "keras.Model") -> "list[keras.Variable]":
    """Return weights, the generators of dropout and the optimizer's variables."""
    return [*model.variables, *model.optimizer.variables]
