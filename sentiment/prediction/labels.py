"""The labels of a text, and the names of the columns that hold their probabilities."""

import numpy as np

NEGATIVE = "negative"
POSITIVE = "positive"
LABELS = (NEGATIVE, POSITIVE)  # in the order of the classes 0 and 1


def probability_column(label: str) -> str:
    """Return the name of the column with the probability of a label."""
    return f"probability_{label}"


def label_probabilities(positive: np.float32) -> dict[str, float]:
    """Return the probability of each label, given the probability of positive."""
    return {NEGATIVE: float(np.float32(1) - positive), POSITIVE: float(positive)}
