"""Measure an epoch with twice the reviews, twice the length and twice the units.

The variants take turns. Prints a line for each measurement: the doubled quantity, a tab, seconds.
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

REVIEWS = 8000  # a fifth of them is the validation set


def epoch_timer(x: Any, y: Any, params: TrainParams, pad_params: PadParams) -> Callable[[], float]:
    """Return a function that trains an epoch and returns its seconds. The first one is done."""
    return warm_timer(epoch_trainer(x, y, params, pad_params))


def epoch_trainer(x: Any, y: Any, params: TrainParams, pad_params: PadParams) -> Callable[[], Any]:
    """Return a function that trains a new model for another epoch at each call."""
    from sentiment.network.fast_lstm import accelerate  # imports TensorFlow

    train_split, val_split = train_validation_split(x, y, params.validation_split)
    same_length = pad_params.model_copy(update={"max_length": x.shape[1]})
    inputs = model_inputs(same_length, params, len(train_split.y))
    model = build_model(params, inputs)
    accelerate(model, params)
    shuffled = batched_dataset(*train_split, batch_size=params.batch_size, shuffle=True)
    validation = batched_dataset(*val_split, batch_size=VALIDATION_BATCH_SIZE, shuffle=False)
    return lambda: model.fit(shuffled, validation_data=validation, shuffle=False, verbose=0)


def warm_timer(work: Callable[[], Any]) -> Callable[[], float]:
    """Do the work once, which compiles it, and return a function that repeats and times it."""

    def again() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    again()
    return again


def main() -> None:
    params = load_params().train
    training.set_seeds(params)
    pad_params = read_about(PAD, AboutPad).pad
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    one_x = x[:REVIEWS]
    one_y = y[:REVIEWS]
    doubled_units = params.model_copy(update={"units": 2 * params.units})
    variants = {
        "nothing": epoch_timer(one_x, one_y, params, pad_params),
        "reviews": epoch_timer(x[: 2 * REVIEWS], y[: 2 * REVIEWS], params, pad_params),
        "length": epoch_timer(np.hstack([one_x, one_x]), one_y, params, pad_params),
        "units": epoch_timer(one_x, one_y, doubled_units, pad_params),
    }
    for _ in range(int(sys.argv[1])):
        for name, epoch in variants.items():
            print(f"{name}\t{epoch():.4f}", flush=True)


if __name__ == "__main__":
    main()
