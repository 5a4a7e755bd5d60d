"""How fast each kind of network trains: `python -m benchmarks.networks`, after `make repro`.

By the fast path and by stock Keras, both fed by the project's own batches, in turns in one
process; and how near the former is to the machine's limit. Writes `networks.md` beside this file.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click

from benchmarks import growth
from benchmarks.limit import epoch_flops, sgemm_rate
from benchmarks.report import spread
from sentiment import files, machine
from sentiment.network import training
from sentiment.params import Train, changed, flatten, load_params
from sentiment.pipeline import PAD
from sentiment.serving.backend import load_keras
from tools.running import cli

RESULTS = Path(__file__).with_name("networks.md")
REVIEWS = 8000  # of which a fifth validates
SEGMENTS = {"segment_length": 25, "bidirectional": True, "pooling": "max+mean"}
NETWORKS: dict[str, Mapping[str, Any]] = {
    "LSTM": {},
    "GRU": {"cell": "gru"},
    "plain RNN": {"cell": "simple_rnn"},
    "bidirectional, max": {"bidirectional": True, "pooling": "max"},
    "two layers": {"layers": 2},
    "masked padding": {"mask_padding": True},
    "bidirectional, segments of 25, max+mean": SEGMENTS,
}


class Speed(NamedTuple):
    """What epochs of a network took, in seconds.

    Attributes:
        first: the first one, in which it is traced and compiled.
        epochs: those after it.
    """

    first: float
    epochs: list[float]


def epoch_of(params: Train) -> Callable[[], float]:
    """A function that trains one epoch of a new model and returns its seconds."""
    shaping = files.read_about(PAD)["params"] | flatten(params, "train")
    x, y = (array[:REVIEWS] for array in files.read_arrays(PAD, ["x_train", "y_train"]))
    train = growth.epoch_of(x, y, params, shaping)

    def epoch() -> float:
        begun = time.perf_counter()
        train()
        return time.perf_counter() - begun

    return epoch


def in_turns(both: Mapping[str, Train], rounds: int) -> dict[str, Speed]:
    """What epochs of these params take, one after the other."""
    epochs = {name: epoch_of(params) for name, params in both.items()}
    first = {name: epoch() for name, epoch in epochs.items()}
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, epoch in epochs.items():
            taken[name].append(epoch())
    return {name: Speed(first[name], taken[name]) for name in epochs}


def limit(params: Train, length: int, rate: float) -> float:
    """The least seconds that an epoch's products take at this rate, in FLOP/s."""
    learning = int(REVIEWS * (1 - params.validation_split))
    return epoch_flops(params, learning, REVIEWS - learning, length) / rate


def row(name: str, speeds: Mapping[str, Speed], least: float) -> str:
    """A row of the table."""
    ours, stock = speeds["ours"], speeds["stock"]
    extra = [each.first - median(each.epochs) for each in (ours, stock)]
    return (
        f"| {name} | {spread(ours.epochs)} | {spread(stock.epochs)} "
        f"| {median(stock.epochs) / median(ours.epochs):.2f} | {least:.2f} "
        f"| {median(ours.epochs) / least:.2f} | {extra[0]:.1f} | {extra[1]:.1f} |"
    )


@cli.command(__doc__)
@click.option("--rounds", type=click.IntRange(min=1), default=5, help="Epochs of each.")
@click.option("--only", default="", help="Just networks with this in their name; writes no table.")
def main(rounds: int, only: str) -> None:
    load_keras()
    params = load_params()
    training.prepare(params.train)
    length = files.read_about(PAD)["params"]["pad.max_length"]
    rates, rows = [sgemm_rate()], []
    for name in [each for each in NETWORKS if only in each]:
        changes = {f"train.{key}": value for key, value in NETWORKS[name].items()}
        ours = changed(params, changes).train
        stock = changed(params, {**changes, "train.accelerate": False}).train
        speeds = in_turns({"ours": ours, "stock": stock}, rounds)
        rates.append(sgemm_rate())
        rows.append(row(name, speeds, limit(ours, length, median(rates))))
        print(rows[-1], flush=True)
    if not only:
        write(rows, median(rates))


def write(rows: list[str], rate: float) -> None:
    """Write the table."""
    told = machine.describe()
    RESULTS.write_text(
        f"""\
# Networks

Written by `python -m benchmarks.networks` on {datetime.now():%Y-%m-%d}: seconds an epoch of \
{REVIEWS:,} reviews, of which
a fifth validates, on {told["processor.cores"]} cores of an {told["processor.name"]} \
({rate / 1e9:.0f} GFLOP/s by sgemm), median (least to greatest).

| network | the fast path | stock Keras | ratio | limit | fast path / limit \
| first epoch's extra | that of stock Keras |
|{" --- |" * 8}
"""
        + "\n".join(rows)
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    cli.run("python -m benchmarks.networks", main)
