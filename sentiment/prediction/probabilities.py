"""The probabilities of the labels of texts: arrays of shape (texts, labels), float32."""

import numpy as np
from numpy.typing import NDArray


def label_probabilities(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of each label, shape (texts, labels).

    Args:
        outputs: of a network, shape (texts, outputs). A single output is the probability of the
            second of two labels.
    """
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], axis=1)
    return outputs


def predicted_indices(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Return the index of the label that is predicted for each text, shape (texts,).

    Args:
        probabilities: shape (texts, labels).
        threshold: the second of two labels is predicted if its probability is above this. With more
            labels, the most probable one is predicted.
    """
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] > threshold).astype(np.intp)
    return np.asarray(probabilities.argmax(axis=1))
