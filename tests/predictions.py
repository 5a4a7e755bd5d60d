"""Predictions that no model has made."""

import numpy as np
import pandas as pd

REVIEWS = 600


def predictions(correct: int) -> pd.DataFrame:
    """Return predictions for positive and negative reviews, the first `correct` of them right."""
    actual = np.where(np.arange(REVIEWS) % 2, "positive", "negative")
    wrong = np.where(actual == "positive", "negative", "positive")
    predicted = np.where(np.arange(REVIEWS) < correct, actual, wrong)
    return pd.DataFrame(
        {
            "row": np.arange(REVIEWS),
            "text_id": [f"{number:016x}" for number in range(REVIEWS)],
            "actual": actual,
            "predicted": predicted,
            "probability_negative": np.where(predicted == "positive", 0.1, 0.9).astype(np.float32),
            "probability_positive": np.where(predicted == "positive", 0.9, 0.1).astype(np.float32),
            "words": 100,
            "unknown_words": 1,
            "seen_in_training": False,
        }
    )
