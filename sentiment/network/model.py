"""Build, compile and save the classifier: an architecture and a logistic unit."""

import math
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from sentiment.network.architectures import ARCHITECTURES
from sentiment.network.inputs import Inputs
from sentiment.network.linear import EPSILON
from sentiment.network.params import TrainParams

if TYPE_CHECKING:
    import keras

# Batches between two returns to Python. Each return takes time, and only then are signals handled.
STEPS_PER_EXECUTION = 4
# Keras writes these differently each time that it saves a model.
DATE = re.compile(rb', "date_saved": "[^"]*"')
OBJECT_ID = re.compile(rb'(?<="shared_object_id": )\d+')


def build_model(params: TrainParams, inputs: Inputs) -> "keras.Model":
    """Build and compile the classifier.

    Returns:
        A model from token ids, shape (batch, length), int32, to the probability that each review is
        positive, shape (batch, 1), float32.
    """
    import keras

    tokens = keras.Input((inputs.length,), dtype="int32", name="tokens")
    features = ARCHITECTURES[params.architecture](params, inputs, tokens)
    probability = keras.layers.Dense(1, activation="sigmoid", name="probability")(features)
    model = keras.Model(tokens, probability, name="sentiment")
    compile_model(model, params, inputs)
    return model


def compile_model(model: "keras.Model", params: TrainParams, inputs: Inputs) -> None:
    """Compile a model with the loss, the metrics and the optimizer of a training."""
    import keras

    model.compile(
        _optimizer(params, inputs.steps_per_epoch),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=params.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
    )


def _optimizer(params: TrainParams, steps_per_epoch: int) -> "keras.optimizers.Optimizer":
    import keras

    arguments: dict[str, float] = {}
    if params.architecture == "linear" and params.optimizer != "sgd":  # SGD has no epsilon
        arguments["epsilon"] = EPSILON
    optimizer = keras.optimizers.get(params.optimizer)
    return type(optimizer)(
        _learning_rate(params, steps_per_epoch),
        weight_decay=params.weight_decay or None,
        global_clipnorm=params.global_clipnorm or None,
        **arguments,
    )


def _learning_rate(
    params: TrainParams, steps_per_epoch: int
) -> "float | keras.optimizers.schedules.CosineDecay":
    """Return the learning rate, or its schedule by training steps.

    A cosine schedule with alpha 1 is constant. It is used for Keras' warm-up.
    """
    import keras

    is_cosine = params.schedule.kind == "cosine"
    warmup_steps = math.floor(params.schedule.warmup_epochs * steps_per_epoch)
    if not is_cosine and not warmup_steps:
        return params.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else params.learning_rate,
        decay_steps=params.epochs * steps_per_epoch - warmup_steps,
        alpha=0.0 if is_cosine else 1.0,
        warmup_target=params.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def save_model(model: "keras.Model", path: Path) -> None:
    """Save a model in Keras' format. Equal models give equal bytes.

    Keras writes the date into the archive and its metadata, and memory addresses into the
    configuration, where they distinguish shared objects. Here, consecutive numbers replace them.
    """
    numbers: dict[bytes, int] = {}

    def number(object_id: re.Match[bytes]) -> bytes:
        return str(numbers.setdefault(object_id[0], len(numbers) + 1)).encode()

    model.save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in sorted(archive.namelist())}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if name.endswith(".json"):
                content = OBJECT_ID.sub(number, DATE.sub(b"", content))
            archive.writestr(zipfile.ZipInfo(name), content)  # ZipInfo's date is 1980-01-01
