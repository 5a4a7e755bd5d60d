"""What each choice of the fast path is worth: `python -m benchmarks.choices`.

Each variant changes one thing about the pipeline's own training. Those that fit in one process
take turns in it, epoch by epoch; the others get a process each, which take turns. Prints a table
in Markdown. docs/speed.md shows one.
"""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest.mock import patch

import click

from benchmarks.growth import timed
from benchmarks.report import spread
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

REVIEWS = 8000  # of which a fifth validates
EPOCHS = 5  # measured in each process, after the first one
ROUNDS = 2  # processes of each kind


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Variant(NamedTuple):
    """One thing done otherwise: a param, a patch, the data's form, jit_compile, the environment."""

    params: Mapping[str, Any] = NOTHING
    patched: Callable[[], AbstractContextManager[Any]] = nullcontext
    arrays: bool = False
    jit: bool = False
    environment: Mapping[str, str] = NOTHING


def steps(count: int) -> Variant:
    return Variant(patched=lambda: patch("sentiment.network.model.STEPS_PER_EXECUTION", count))


STOCK = {"accelerate": False}
PLAIN = "the pipeline"
TOGETHER = {
    PLAIN: Variant(),
    "stock LSTM layer": Variant(STOCK),
    "each batch in one piece": Variant(
        patched=lambda: patch("sentiment.network.fast_lstm._halves", lambda _: (slice(None),))
    ),
    "the optimizer's update not compiled": Variant(
        patched=lambda: patch("sentiment.network.fast_lstm._compile_updates")
    ),
    "arrays, which Keras batches": Variant(arrays=True),
    "`steps_per_execution` 1": steps(1),
    "`steps_per_execution` 16": steps(16),
}
APART = {
    "the pipeline, in a process of its own": Variant(),
    "without op determinism": Variant({"deterministic": False}),
    "stock layer, `jit_compile`": Variant({**STOCK, "deterministic": False}, jit=True),
    "XLA with vectors of 256 bits": Variant(
        environment={"XLA_FLAGS": "--xla_cpu_prefer_vector_width=256"}
    ),
    "without oneDNN": Variant(environment={"TF_ENABLE_ONEDNN_OPTS": "0"}),
    "1 thread an operation": Variant(environment={"TF_NUM_INTRAOP_THREADS": "1"}),
    "4 threads an operation": Variant(environment={"TF_NUM_INTRAOP_THREADS": "4"}),
    "1 operation at a time": Variant(environment={"TF_NUM_INTEROP_THREADS": "1"}),
    "4 operations at a time": Variant(environment={"TF_NUM_INTEROP_THREADS": "4"}),
}
VARIANTS = TOGETHER | APART


def params_of(variant: Variant) -> TrainParams:
    return load_params().train.model_copy(update=variant.params)


def epochs_of(variant: Variant) -> Callable[[], float]:
    """A function that trains one epoch of a variant and returns its seconds."""
    from sentiment.network.fast_lstm import accelerate  # which imports TensorFlow

    params = params_of(variant)
    pad_params = read_about(PAD, AboutPad).pad
    x, y = (array[:REVIEWS] for array in files.read_arrays(PAD, ["x_train", "y_train"]))
    learning, validation = train_validation_split(x, y, params.validation_split)
    size = params.batch_size
    with variant.patched():
        model = build_model(params, model_inputs(pad_params, params, len(learning.y)))
        accelerate(model, params)
        model.jit_compile = variant.jit
        if variant.arrays:
            given = {"x": learning.x, "y": learning.y, "batch_size": size}
            tested = {"validation_data": validation, "validation_batch_size": VALIDATION_BATCH_SIZE}
        else:
            given = {
                "x": batched_dataset(*learning, batch_size=size, shuffle=True),
                "shuffle": False,
            }
            tested = {
                "validation_data": batched_dataset(
                    *validation, batch_size=VALIDATION_BATCH_SIZE, shuffle=False
                )
            }
        return timed(lambda: model.fit(**given, **tested, verbose=0))


def measure_here(names: list[str]) -> None:
    """Train the variants in turn; print each one's number and the seconds of each epoch."""
    load_keras()
    training.set_seeds(params_of(VARIANTS[names[0]]))  # determinism cannot be switched off again
    epochs = {name: epochs_of(VARIANTS[name]) for name in names}
    for _ in range(EPOCHS):
        for name, epoch in epochs.items():
            print(f"{name}\t{epoch():.4f}", flush=True)


def measure_apart(names: list[str]) -> Iterator[tuple[str, float]]:
    """The same in a process of its own; yield name and seconds."""
    environment = VARIANTS[names[0]].environment
    command = [sys.executable, "-m", "benchmarks.choices", *names]
    printed = subprocess.run(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    for line in printed.splitlines():
        name, seconds = line.split("\t")
        yield name, float(seconds)


def table(title: str, seconds: dict[str, list[float]]) -> str:
    """Each variant's seconds, and how many times the first one's they are."""
    own = median(next(iter(seconds.values())))
    rows = [f"| {title} | an epoch, s: median (least to greatest) | ratio |", "| --- | --- | --- |"]
    for name, taken in seconds.items():
        rows.append(f"| {name} | {spread(taken)} | {median(taken) / own:.2f} |")
    return "\n".join(rows)


@commands.command(__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(VARIANTS)))
def main(names: tuple[str, ...]) -> None:
    """`names`: measure just these variants, in this process; print seconds by name."""
    if names:
        measure_here(list(names))
        return
    groups = {"taking turns in one process": [list(TOGETHER)]}
    groups["taking turns as processes"] = [[name] for name in APART]
    for title, processes in groups.items():
        seconds: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for process in processes:
                for name, taken in measure_apart(process):
                    seconds[name].append(taken)
        print(f"{table(title, seconds)}\n", flush=True)


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.choices", main)
