"""Measure how fast networks train. `make bench` runs this, `python -m benchmarks.networks` alone.

The fast path and stock Keras take turns in one process, with the project's own batches. Needs
`data/pad`. Prints a line for each, with tabs: the network, `ours` or `stock`, and the seconds of
each epoch. The first epoch includes the compilation.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import click

from sentiment.backend import load_keras
from sentiment.network import training
from sentiment.network.batches import batched_dataset, train_validation_split
from sentiment.network.inputs import model_inputs
from sentiment.network.model import build_model
from sentiment.network.params import TrainParams
from sentiment.network.training import VALIDATION_BATCH_SIZE
from workflow import commands, files
from workflow.about import AboutPad, read_about
from workflow.files import PAD
from workflow.params import load_params
from workflow.params_file import with_changes

REVIEWS = 8000  # a fifth of them is the validation set
SEGMENTS = {"segment_length": 25, "bidirectional": True, "pooling": "max+mean"}
NETWORKS: dict[str, Mapping[str, Any]] = {
    "LSTM": {},
    "bidirectional, max": {"bidirectional": True, "pooling": "max"},
    "two layers": {"layers": 2},
    "bidirectional, segments of 25, max+mean": SEGMENTS,
}


def epoch_timer(params: TrainParams) -> Callable[[], float]:
    """Return a function that trains a new model for another epoch, and returns the seconds.

    Its first call also compiles the model.
    """
    from sentiment.network.fast_lstm import accelerate  # imports TensorFlow

    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    train_split, val_split = train_validation_split(
        x[:REVIEWS], y[:REVIEWS], params.validation_split
    )
    inputs = model_inputs(read_about(PAD, AboutPad).pad, params, len(train_split.y))
    model = build_model(params, inputs)
    accelerate(model, params)
    shuffled = batched_dataset(*train_split, batch_size=params.batch_size, shuffle=True)
    validation = batched_dataset(*val_split, batch_size=VALIDATION_BATCH_SIZE, shuffle=False)

    def epoch() -> float:
        start = time.perf_counter()
        model.fit(shuffled, validation_data=validation, shuffle=False, verbose=0)
        return time.perf_counter() - start

    return epoch


def measure_in_turns(variants: Mapping[str, TrainParams], rounds: int) -> dict[str, list[float]]:
    """Train epochs of all variants in turns, and return their seconds by variant."""
    epochs = {name: epoch_timer(params) for name, params in variants.items()}
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(1 + rounds):
        for name, epoch in epochs.items():
            seconds[name].append(epoch())
    return seconds


@commands.command(__doc__)
@click.option("--rounds", type=click.IntRange(min=1), default=5, help="Epochs after the first.")
@click.option("--only", default="", help="Only networks with this in their names.")
def main(rounds: int, only: str) -> None:
    load_keras()
    params = load_params()
    training.set_seeds(params.train)
    for name in [network for network in NETWORKS if only in network]:
        changes = {f"train.{key}": value for key, value in NETWORKS[name].items()}
        ours = with_changes(params, changes).train
        stock = with_changes(params, {**changes, "train.accelerate": False}).train
        for kind, seconds in measure_in_turns({"ours": ours, "stock": stock}, rounds).items():
            print(name, kind, *(f"{value:.4f}" for value in seconds), sep="\t", flush=True)


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.networks", main)
