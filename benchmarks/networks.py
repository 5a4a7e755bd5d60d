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

from benchmarks import growth
from benchmarks.growth import REVIEWS
from sentiment.backend import load_keras
from sentiment.network import training
from sentiment.network.params import TrainParams
from workflow import commands, files
from workflow.about import AboutPad, read_about
from workflow.files import PAD
from workflow.params import load_params
from workflow.params_file import with_changes

SEGMENTS = {"segment_length": 25, "bidirectional": True, "pooling": "max+mean"}
NETWORKS: dict[str, Mapping[str, Any]] = {
    "LSTM": {},
    "bidirectional, max": {"bidirectional": True, "pooling": "max"},
    "two layers": {"layers": 2},
    "bidirectional, segments of 25, max+mean": SEGMENTS,
}


def epoch_timer(params: TrainParams) -> Callable[[], float]:
    """Return a function that trains another epoch of a new model, and returns its seconds."""
    pad_params = read_about(PAD, AboutPad).pad
    x, y = (array[:REVIEWS] for array in files.read_arrays(PAD, ["x_train", "y_train"]))
    train_epoch = growth.epoch_trainer(x, y, params, pad_params)

    def epoch() -> float:
        start = time.perf_counter()
        train_epoch()
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
