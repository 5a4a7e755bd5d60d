"""Measure epochs of `FastLSTM` beside stock Keras: `python -m benchmarks.fast_lstm`.

Both train the same network on the first reviews in `data/pad`, and take turns. Prints a table.
"""

import statistics
import time
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

from sentiment.network.batches import batched_dataset
from sentiment.network.model import build_model
from sentiment.params import PadParams, TrainParams
from sentiment.prediction.backend import load_keras
from workflow import files
from workflow.training_key import processor_name

if TYPE_CHECKING:
    import keras

REVIEWS = 8000
SEED = 42
NETWORKS: dict[str, dict[str, Any]] = {
    "LSTM": {},
    "bidirectional, `max`": {"bidirectional": True, "pooling": "max"},
    "two layers": {"layers": 2},
}


def new_model(fast_lstm: bool, changes: dict[str, Any]) -> "keras.Model":
    """Return an untrained model with the default params and some changes."""
    load_keras().utils.set_random_seed(SEED)
    params = TrainParams(fast_lstm=fast_lstm, **changes)
    return build_model(params, PadParams(), REVIEWS)


def measure_network(changes: dict[str, Any], rounds: int) -> dict[str, float]:
    """Return the median seconds of an epoch, after a first one in which XLA compiles the loop."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()  # as a training does
    x = files.read_array(files.PAD / "x_train.npy")[:REVIEWS]
    y = files.read_array(files.PAD / "y_train.npy")[:REVIEWS]
    load_keras().utils.set_random_seed(SEED)  # without which TensorFlow refuses to shuffle
    batches = batched_dataset(x, y, batch_size=64, shuffle=True)
    models = {"FastLSTM": new_model(True, changes), "stock Keras": new_model(False, changes)}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + 1):
        for name, model in models.items():
            started = time.perf_counter()
            model.fit(batches, shuffle=False, verbose=0)
            if number > 0:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
def main(rounds: int) -> None:
    load_keras()
    rows = {name: measure_network(changes, rounds) for name, changes in NETWORKS.items()}
    table = pd.DataFrame(rows).T
    table["ratio"] = table["stock Keras"] / table["FastLSTM"]
    click.echo(f"Seconds per epoch of {REVIEWS:,} reviews, {processor_name()}")
    click.echo(table.to_markdown(floatfmt=".2f"))


if __name__ == "__main__":
    main()
