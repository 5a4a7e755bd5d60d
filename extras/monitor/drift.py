"""Measure how current texts differ from the test set of a version."""

from statistics import NormalDist

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sentiment.evaluation.metrics import is_positive, positive_probability
from sentiment.evaluation.plots import DPI, TRAINING_COLOR, VALIDATION_COLOR

FALSE_ALARM_RATE = 0.002  # of unchanged windows, over all quantities
# Differences of the means up to which there is no alarm, however many texts show them.
MIN_EFFECTS = {
    "words": 0.1,  # relative to the mean of the test set
    "unknown_share": 0.02,
    "probability": 0.03,
    "positive": 0.05,
}
PLOT_SIZE = (9.0, 4.0)  # inches
BINS = 30
LONGEST_SHOWN = 0.99  # quantile of the lengths at which their plot ends


def quantities(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the quantities of each text whose means are compared.

    Args:
        predictions: see `sentiment.evaluation.metrics`.

    Returns:
        Columns `words` (number of words), `unknown_share` (of the words), `probability` (of
        being positive) and `positive` (1 if the text is predicted as positive, else 0).
    """
    return pd.DataFrame(
        {
            "words": predictions["words"].astype(float),
            "unknown_share": predictions["unknown_words"] / predictions["words"].clip(lower=1),
            "probability": positive_probability(predictions).astype(float),
            "positive": is_positive(predictions, "predicted").astype(float),
        }
    )


def measure_drift(current: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Compare the means of two tables of `quantities`.

    The mean of unchanged texts varies normally, by the standard deviation of the reference. Each
    quantity gets an equal part of `FALSE_ALARM_RATE` (Bonferroni's correction).

    Returns:
        A row for each quantity, with the columns `test_set` and `current` (means), `difference`,
        `z` (the difference in standard errors; not finite if the reference does not vary), `limit`
        (the difference up to which there is no alarm) and `alarm`.
    """
    mean = reference.mean()
    difference = current.mean() - mean
    error = reference.std() * np.sqrt(1 / len(current) + 1 / len(reference))
    z_limit = NormalDist().inv_cdf(1 - FALSE_ALARM_RATE / 2 / len(MIN_EFFECTS))
    min_effect = pd.Series(MIN_EFFECTS)
    min_effect["words"] *= mean["words"]
    limit = np.maximum(z_limit * error, min_effect)
    return pd.DataFrame(
        {
            "test_set": mean,
            "current": current.mean(),
            "difference": difference,
            "z": difference / error,
            "limit": limit,
            "alarm": difference.abs() > limit,
        }
    )


def plot_distributions(current: pd.DataFrame, reference: pd.DataFrame) -> Figure:
    """Draw the distributions of lengths and probabilities, of the texts and of the test set.

    Args:
        current: `quantities` of the texts.
        reference: `quantities` of the test set.
    """
    figure = Figure(figsize=PLOT_SIZE, dpi=DPI, layout="constrained")
    lengths = figure.add_subplot(1, 2, 1, xlabel="Words", ylabel="Share of the texts")
    probabilities = figure.add_subplot(1, 2, 2, xlabel="Probability of positive")
    both = pd.concat([current, reference])
    longest = float(both["words"].clip(lower=1).quantile(LONGEST_SHOWN))
    for axes, column, end in ((lengths, "words", longest), (probabilities, "probability", 1.0)):
        axes.hist(
            [reference[column].clip(upper=end), current[column].clip(upper=end)],
            bins=BINS,
            range=(0, end),
            weights=[np.full(len(table), 1 / len(table)) for table in (reference, current)],
            color=[TRAINING_COLOR, VALIDATION_COLOR],
            label=[f"test set, {len(reference):,} texts", f"current, {len(current):,} texts"],
        )
        axes.grid(alpha=0.3)
    lengths.legend()
    return figure
