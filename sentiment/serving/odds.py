"""Log-odds of probabilities, and probabilities of log-odds."""

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-7  # nearer to 0 or 1 than this, float32 has no more digits to tell probabilities apart


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """The log-odds (natural logarithm) of probabilities, of any shape."""
    kept = np.clip(probability.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(kept / (1 - kept))


def probability(odds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The probabilities of log-odds, of any shape."""
    return (1 / (1 + np.exp(-odds))).astype(np.float32)
