"""Save a model in Keras' format, so that equal models have equal files, and try to load it."""

import re
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError, first_line, is_of_the_machine

if TYPE_CHECKING:
    import keras

# Keras writes these differently each time that it saves a model.
DATE = re.compile(rb', "date_saved": "[^"]*"')
OBJECT_ID = re.compile(rb'(?<="shared_object_id": )\d+')
CHECKED_TEXTS = 8
ADVICE = "Use only Keras' own layers and operations in sentiment/model/custom.py."


def save_model(model: "keras.Model", path: Path) -> None:
    """Save a model in Keras' format. Equal models give equal bytes.

    Keras writes the date into the archive and its metadata, and memory addresses into the
    configuration, where they distinguish shared objects. Here, the archive has a fixed date, its
    metadata have none, and consecutive numbers replace the addresses.
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


def check_loads(model: "keras.Model", x: NDArray[Any]) -> None:
    """Check that a network predicts as a version does: loaded without its code, compiled by XLA.

    Args:
        x: token ids, shape (texts, max_length).

    Raises:
        UserError: the network has other layers than Keras', cannot be saved, loaded or compiled, or
            predicts other values.
    """
    import keras
    import tensorflow as tf

    own = {type(layer) for layer in model.layers if not type(layer).__module__.startswith("keras.")}
    if own:
        names = ", ".join(sorted(kind.__name__ for kind in own))
        raise UserError(f"The network has layers that are not Keras' own: {names}. {ADVICE}")
    tokens = tf.constant(x[:CHECKED_TEXTS].astype(np.int32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        try:
            model.save(path)
            loaded = keras.saving.load_model(path, compile=False)
            predicted = [
                tf.function(network, jit_compile=True)(tokens).numpy()
                for network in (model, loaded)
            ]
        except Exception as error:  # Keras and TensorFlow raise many kinds
            if isinstance(error, OSError) and is_of_the_machine(error):  # such as a full disk
                raise
            raise UserError(f"The network cannot be used: {first_line(error)}. {ADVICE}") from error
    if not np.array_equal(*predicted):
        raise UserError(f"The network predicts other values once it is saved and loaded. {ADVICE}")
