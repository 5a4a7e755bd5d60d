"""Show a training as a table, with a line for each epoch that fits a terminal of 80 columns."""

import time
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from sentiment.terminal import show

if TYPE_CHECKING:
    import keras

SHOWN_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
WIDTH = 14  # of a column


def header() -> str:
    """Return the names of the columns."""
    names = "".join(f"{name:>{WIDTH}}" for name in SHOWN_METRICS)
    return f"{'epoch':>8}{'seconds':>9}{names}"


def epoch_line(epoch: int, epochs: int, seconds: float, metrics: dict[str, float]) -> str:
    """Return the line of an epoch.

    Args:
        epoch: its number, from 1.
        epochs: the number of all epochs.
    """
    values = "".join(f"{metrics[name]:{WIDTH}.4f}" for name in SHOWN_METRICS)
    number = f"{epoch}/{epochs}"
    return f"{number:>8}{seconds:9.1f}{values}"


def show_epochs(epochs: int, batches: int) -> "keras.callbacks.Callback":
    """Return a callback that prints the table, and shows a bar within an epoch in a terminal.

    Args:
        epochs: the number of all epochs.
        batches: the number of batches of an epoch.
    """
    import keras

    bar: tqdm[Any]
    started = 0.0

    def begin(epoch: int, _: object) -> None:
        nonlocal bar, started
        started = time.monotonic()
        bar = tqdm(
            total=batches,
            desc=f"epoch {epoch + 1}/{epochs}",
            unit="batch",
            leave=False,
            disable=None,  # unless it is a terminal
        )

    def end(epoch: int, logs: dict[str, float]) -> None:
        bar.close()
        show(epoch_line(epoch + 1, epochs, time.monotonic() - started, logs))

    return keras.callbacks.LambdaCallback(
        on_train_begin=lambda _: show(header()),
        on_epoch_begin=begin,
        on_epoch_end=end,
        on_train_batch_end=lambda _, **__: bar.update(),
    )
