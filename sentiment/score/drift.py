"""Find out whether texts and their predictions differ from the test set of a version."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from sentiment.text.labels import label_names_in, probability_column

# Chance of an alarm for unchanged texts, over all means together.
FALSE_ALARM_RATE = 0.001
MIN_TEXTS = 100  # fewer raise no alarm
MAX_TESTED = 100_000  # texts. More of them show no further differences that matter.
WORDS = "words in a text"
UNKNOWN = "share of unknown words"
PROBABILITY = "probability of the predicted label"
# Differences of the means up to which there is no alarm, however many texts show them.
MAX_WORDS_CHANGE = 0.1  # relative to the mean of the test set
MAX_UNKNOWN_CHANGE = 0.02
MAX_PROBABILITY_CHANGE = 0.03
MAX_SHARE_CHANGE = 0.05  # of a label


class Quantities(NamedTuple):
    """The compared quantities of texts and their predictions.

    Attributes:
        text_count: number of the texts.
        means: the means of `quantities`.
        tested: `quantities` of at most `MAX_TESTED` of them.
    """

    text_count: int
    means: pd.Series
    tested: pd.DataFrame


def quantities(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the quantities of each text whose means are compared.

    The mean probability of the predicted label falls with the accuracy (Guillory et al. 2021,
    *Predicting with Confidence on Unseen Distributions*). With two labels, the share of one
    determines the other.

    Args:
        predictions: see `sentiment.evaluation.metrics`.
    """
    labels = label_names_in(predictions.columns)
    probabilities = predictions[[probability_column(label) for label in labels]].to_numpy()
    is_predicted = predictions["predicted"].to_numpy()[:, None] == np.array(labels)
    columns = {
        WORDS: predictions["words"],
        UNKNOWN: predictions["unknown_words"] / predictions["words"].clip(lower=1),
        PROBABILITY: (probabilities * is_predicted).sum(axis=1),
    }
    for number, label in enumerate(labels):
        if number or len(labels) > 2:
            columns[f"share predicted as {label}"] = is_predicted[:, number]
    return pd.DataFrame(columns, dtype=float)


def summarize(tables: Iterable[pd.DataFrame], rows: int) -> Quantities:
    """Return what is compared of texts.

    Args:
        tables: their predictions, see `sentiment.evaluation.metrics`.
        rows: number of their rows, or more.
    """
    step = math.ceil(rows / MAX_TESTED)
    number = 0
    sums = []
    tested = []
    for table in tables:
        values = quantities(table)
        number += len(values)
        sums.append(values.sum())
        tested.append(values.iloc[::step])
    return Quantities(number, pd.DataFrame(sums).sum() / number, pd.concat(tested))


def measure_drift(here: Quantities, test_set: pd.DataFrame) -> pd.DataFrame:
    """Compare texts with a test set, given by its predictions.

    An alarm needs a difference of the means that matters, and distributions that differ beyond
    chance: by a Kolmogorov-Smirnov test, which is right for any distribution, where each quantity
    gets an equal part of `FALSE_ALARM_RATE` (Bonferroni's correction). Source: Rabanser et al.
    2019, *Failing Loudly*.

    Returns:
        A row for each quantity, with the columns `test set` and `here` (means), `difference`,
        `limit` (the difference up to which there is no alarm), `p` and `alarm`.
    """
    from scipy.stats import ks_2samp

    reference = quantities(test_set)
    mean = reference.mean()
    limit = pd.Series(MAX_SHARE_CHANGE, mean.index)
    limit[WORDS] = MAX_WORDS_CHANGE * mean[WORDS]
    limit[UNKNOWN] = MAX_UNKNOWN_CHANGE
    limit[PROBABILITY] = MAX_PROBABILITY_CHANGE
    # The asymptotic p-value of a few texts may be 0. The exact one of many takes long.
    method = "exact" if here.text_count < MIN_TEXTS else "asymp"
    p = pd.Series(
        {
            name: ks_2samp(here.tested[name], reference[name], method=method).pvalue
            for name in reference
        }
    )
    difference = here.means - mean
    alarm = (difference.abs() > limit) & (p < FALSE_ALARM_RATE / len(p))
    return pd.DataFrame(
        {
            "test set": mean,
            "here": here.means,
            "difference": difference,
            "limit": limit,
            "p": p,
            "alarm": alarm & (here.text_count >= MIN_TEXTS),
        }
    )
