"""Parse the files of IMDB that Keras publishes.

Source: Maas et al. 2011, *Learning Word Vectors for Sentiment Analysis*.
"""

import io
import json
import pickle
import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.tokenizer import Reviews

ARCHIVE = "imdb.npz"
WORD_INDEX = "imdb_word_index.json"
SHA256 = {
    ARCHIVE: "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    WORD_INDEX: "027313fe9a320280f3bf0fac5baf58c4a683cf39a7ed9c3d3d3912bde4284cf6",
}
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
ALLOWED = {("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that loads NumPy arrays and refuses everything else.

    Source: "Restricting Globals" in the Python documentation of `pickle`.
    """

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy.core.multiarray":  # the name in NumPy 1, which wrote the file
            module = "numpy._core.multiarray"
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return super().find_class(module, name)


def parse(archive: bytes, word_index: bytes) -> tuple[Reviews, Reviews, dict[str, int]]:
    """Return the training reviews, the test reviews and the word index, given both files' content.

    Raises:
        UserError: the archive is not the one of Keras, or its pickles hold more than arrays.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            arrays = [_parse_array(file, name) for name in ARRAYS]
    except (zipfile.BadZipFile, KeyError, ValueError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{ARCHIVE} is not the archive that Keras publishes: {error}") from None
    x_train, y_train, x_test, y_test = arrays
    train = Reviews.from_lists(x_train.tolist(), y_train)
    test = Reviews.from_lists(x_test.tolist(), y_test)
    return train, test, json.loads(word_index)


def _parse_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    file: BinaryIO = io.BytesIO(archive.read(f"{name}.npy"))
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{name}.npy has format {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        array: NDArray[Any] = ArrayUnpickler(file).load()
        return array
    return np.frombuffer(file.read(), dtype).reshape(shape)
