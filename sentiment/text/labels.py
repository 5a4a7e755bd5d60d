"""The labels of a text: a list of names, in the order of their indices.

Probabilities are arrays of shape (texts, labels), float32. In a table, each label has a column.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = "probability_"
INTEGER_AS_FLOAT = re.compile(r"^(-?\d+)\.0+$")  # pandas writes integers so if some are missing


def normalize_label(value: Any) -> Any:
    """Return a finite number or a boolean as its JSON text, and any other value as it is.

    The texts of a CSV file are normalized in the same way: 1, 1.0, `1` and `1.0` are the same
    label, and so are true, `true` and `True`. Whitespace around a text is removed.
    """
    if isinstance(value, str):
        text = value.strip()
        return text.lower() if text in ("True", "False") else INTEGER_AS_FLOAT.sub(r"\1", text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if is_number else value


def probability_column(label: str) -> str:
    """Return the name of the column with the probability of a label."""
    return f"{PREFIX}{label}"


def label_names_in(columns: Iterable[str]) -> list[str]:
    """Return the labels whose probabilities are in some columns of a table, in their order."""
    return [name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX)]


def label_probabilities(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of each label, shape (texts, labels).

    Args:
        outputs: of a network, shape (texts, outputs). A single output is the probability of the
            second of two labels.
    """
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], axis=1)
    return outputs


def predicted_labels(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Return the index of the label that is predicted for each text, shape (texts,).

    Args:
        probabilities: shape (texts, labels).
        threshold: the second of two labels is predicted if its probability is above this. With more
            labels, the most probable one is predicted.
    """
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] > threshold).astype(np.intp)
    return np.asarray(probabilities.argmax(axis=1))
