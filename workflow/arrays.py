"""Write and read the arrays of the stages."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.model.batches import Split, train_validation_split
from sentiment.text.reviews import Reviews
from workflow.documents import damaged_error, missing_error
from workflow.paths import PAD_FOLDER


def write_arrays(folder: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write each array as `<name>.npy`."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def read_array(path: Path) -> NDArray[Any]:
    """Map an array of a stage into memory, read-only.

    Raises:
        UserError: the file is missing or is not an array.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise missing_error(path) from None
    except (ValueError, EOFError) as error:
        raise damaged_error(path, error) from None
    return array


def write_reviews(folder: Path, split: str, reviews: Reviews) -> None:
    """Write the reviews of the `train` or the `test` set into a folder, one file an array."""
    names = [field.name for field in fields(reviews)]
    write_arrays(folder, {f"{split}_{name}": getattr(reviews, name) for name in names})


def read_reviews(folder: Path, split: str) -> Reviews:
    """Read the reviews that `write_reviews` wrote.

    Raises:
        UserError: a file is missing or damaged.
    """
    names = [field.name for field in fields(Reviews)]
    return Reviews(*(read_array(folder / f"{split}_{name}.npy") for name in names))


def read_training_splits(validation_split: float) -> tuple[Split, Split]:
    """Read the padded training reviews, split into the training set and the validation set.

    Raises:
        UserError: a file is missing or damaged, or one of the two sets would be empty.
    """
    x = read_array(PAD_FOLDER / "x_train.npy")
    y = read_array(PAD_FOLDER / "y_train.npy")
    return train_validation_split(x, y, validation_split)
