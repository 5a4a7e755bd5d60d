"""How fast each kind of LSTM trains, for `make bench`; `python -m benchmarks.networks` alone.

By the fast path and by stock Keras, both fed by the project's own batches, in turns in one process;
and the machine's limit. Needs `data/pad`. Prints a line each, with tabs: the network, `ours` or
`stock`, and the seconds of each epoch, the first with its compilation; or `limit` and seconds.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import click

from benchmarks import growth
from benchmarks.growth import REVIEWS
from benchmarks.limit import epoch_flops, sgemm_rate
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
    "masked padding": {"mask_padding": True},
    "bidirectional, segments of 25, max+mean": SEGMENTS,
}


def epoch_of(params: TrainParams) -> Callable[[], float]:
    """A function that trains one epoch of a new model and returns its seconds."""
    pad_params = read_about(PAD, AboutPad).pad
    x, y = (array[:REVIEWS] for array in files.read_arrays(PAD, ["x_train", "y_train"]))
    train = growth.epoch_of(x, y, params, pad_params)

    def epoch() -> float:
        begun = time.perf_counter()
        train()
        return time.perf_counter() - begun

    return epoch


def in_turns(both: Mapping[str, TrainParams], rounds: int) -> dict[str, list[float]]:
    """The seconds of epochs of these params, which take turns."""
    epochs = {name: epoch_of(params) for name, params in both.items()}
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(1 + rounds):
        for name, epoch in epochs.items():
            taken[name].append(epoch())
    return taken


def limit(params: TrainParams, length: int, rate: float) -> float:
    """The least seconds that an epoch's products take at this rate, in FLOP/s."""
    learning = int(REVIEWS * (1 - params.validation_split))
    return epoch_flops(params, learning, REVIEWS - learning, length) / rate


def line(*parts: str | float) -> str:
    """A line of what is printed."""
    return "\t".join(f"{part:.4f}" if isinstance(part, float) else part for part in parts)


@commands.command(__doc__)
@click.option("--rounds", type=click.IntRange(min=1), default=5, help="Epochs after the first.")
@click.option("--only", default="", help="Just networks with this in their name.")
def main(rounds: int, only: str) -> None:
    load_keras()
    params = load_params()
    training.set_seeds(params.train)
    length = read_about(PAD, AboutPad).pad.max_length
    for name in [network for network in NETWORKS if only in network]:
        changes = {f"train.{key}": value for key, value in NETWORKS[name].items()}
        ours = with_changes(params, changes).train
        stock = with_changes(params, {**changes, "train.accelerate": False}).train
        for kind, seconds in in_turns({"ours": ours, "stock": stock}, rounds).items():
            print(line(name, kind, *seconds), flush=True)
        print(line(name, "limit", limit(ours, length, sgemm_rate())), flush=True)


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.networks", main)
