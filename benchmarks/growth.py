"""Measure an epoch with twice the reviews, twice the length and twice the units.

The variants take turns. Prints a line for each measurement: what was doubled, a tab, seconds.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sentiment.network import training
from sentiment.network.batches import batched_dataset, train_validation_split
from sentiment.network.inputs import model_inputs
from sentiment.network.model import build_model
from sentiment.network.params import TrainParams
from sentiment.network.training import VALIDATION_BATCH_SIZE
from sentiment.padding import PadParams
from workflow import files
from workflow.about import AboutPad, read_about
from workflow.files import PAD
from workflow.params import load_params

REVIEWS = 8000  # of which a fifth validates


def epochs_of(x: Any, y: Any, params: TrainParams, pad_params: PadParams) -> Callable[[], float]:
    """Return a function that trains one epoch and returns its seconds; the first is done."""
    return timed(epoch_of(x, y, params, pad_params))


def epoch_of(x: Any, y: Any, params: TrainParams, pad_params: PadParams) -> Callable[[], Any]:
    """Return a function that trains a new model for one epoch more each time."""
    from sentiment.network.fast_lstm import accelerate  # which imports TensorFlow

    learning, validation = train_validation_split(x, y, params.validation_split)
    as_long = pad_params.model_copy(update={"max_length": x.shape[1]})
    inputs = model_inputs(as_long, params, len(learning.y))
    model = build_model(params, inputs)
    accelerate(model, params)
    shuffled = batched_dataset(*learning, batch_size=params.batch_size, shuffle=True)
    held_out = batched_dataset(*validation, batch_size=VALIDATION_BATCH_SIZE, shuffle=False)
    return lambda: model.fit(shuffled, validation_data=held_out, shuffle=False, verbose=0)


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    """Do the work once, which traces and compiles it; return a function to time it again."""

    def again() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    again()
    return again


def main() -> None:
    params = load_params().train
    training.set_seeds(params)
    pad_params = read_about(PAD, AboutPad).pad
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    one_x, one_y = x[:REVIEWS], y[:REVIEWS]
    wide = params.model_copy(update={"units": 2 * params.units})
    variants = {
        "nothing": epochs_of(one_x, one_y, params, pad_params),
        "reviews": epochs_of(x[: 2 * REVIEWS], y[: 2 * REVIEWS], params, pad_params),
        "length": epochs_of(np.hstack([one_x, one_x]), one_y, params, pad_params),
        "units": epochs_of(one_x, one_y, wide, pad_params),
    }
    for _ in range(int(sys.argv[1])):
        for name, epoch in variants.items():
            print(f"{name}\t{epoch():.4f}", flush=True)


if __name__ == "__main__":
    main()
