"""The labels of a text: a list of names, in the order of their indices.

Probabilities are arrays of shape (texts, labels), float32. In a table, each label has a column.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PREFIX = "probability_"


def probability_column(label: str) -> str:
    """Return the name of the column with the probability of a label."""
    return f"{PREFIX}{label}"


def labels_of_columns(columns: Iterable[str]) -> list[str]:
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
