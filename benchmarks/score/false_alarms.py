"""`python -m benchmarks.score.false_alarms`: measure how often unchanged texts raise an alarm.

The texts are not real: random numbers of words, shares of unknown words and probabilities stand in
for them. A test set is drawn from them, and so is each window.
"""

from itertools import product
from typing import NamedTuple

import click
import numpy as np
import pandas as pd

from sentiment.evaluation.metrics import CONFIDENCE, wilson_interval
from sentiment.prediction.probabilities import predicted_indices
from sentiment.score.drift import measure_drift, summarize
from sentiment.text.labels import probability_column

SIZES = (100, 1_000, 10_000)  # texts in a window
TEST_TEXTS = (500, 25_000)
TEST_SETS = 400
WINDOWS = 5  # for each test set
THRESHOLD = 0.5


class Kind(NamedTuple):
    """A kind of texts.

    Attributes:
        words: mean number of words.
        deviation: standard deviation of the number of words, relative to the mean. IMDB: 0.75.
        labels: the mean probability of each label.
    """

    words: int
    deviation: float
    labels: tuple[float, ...]


KINDS = {
    "8 words": Kind(8, 0.75, (0.5, 0.5)),
    "40 words": Kind(40, 0.75, (0.5, 0.5)),
    "250 words": Kind(250, 0.75, (0.5, 0.5)),
    "40 words, some of them very long": Kind(40, 2, (0.5, 0.5)),
    "40 words, a rare label": Kind(40, 0.75, (0.97, 0.03)),
    "40 words, five labels": Kind(40, 0.75, (0.6, 0.2, 0.1, 0.07, 0.03)),
}


def draw_predictions(kind: Kind, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return predictions for random texts, see `sentiment.evaluation.metrics`.

    The lengths are lognormal. A text has its own share of unknown words, 5 % on average. Most
    probabilities are near 0 or 1, as an LSTM's.
    """
    sigma = np.sqrt(np.log(1 + kind.deviation**2))
    lengths = rng.lognormal(np.log(kind.words) - sigma**2 / 2, sigma, count)
    words = np.maximum(lengths.round().astype(int), 1)
    probabilities = rng.dirichlet(0.6 * np.array(kind.labels), count).astype(np.float32)
    names = np.array([f"label {number}" for number in range(len(kind.labels))])
    return pd.DataFrame(
        {
            "predicted": names[predicted_indices(probabilities, THRESHOLD)],
            **{probability_column(name): probabilities[:, at] for at, name in enumerate(names)},
            "words": words,
            "unknown_words": rng.binomial(words, rng.beta(1, 19, count)),
        }
    )


def count_alarms(kind: Kind, test_texts: int, size: int, test_sets: int) -> int:
    """Return the number of windows with an alarm, of `WINDOWS` for each test set."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(test_sets):
        test_set = draw_predictions(kind, test_texts, rng)
        for _ in range(WINDOWS):
            window = summarize([draw_predictions(kind, size, rng)], size)
            alarms += bool(measure_drift(window, test_set)["alarm"].any())
    return alarms


@click.command(help=__doc__)
def main() -> None:
    windows = TEST_SETS * WINDOWS
    click.echo(
        f"Alarms of {windows:,} windows, with the upper end of the {CONFIDENCE:.0%} interval"
    )
    for (name, kind), test_texts, size in product(KINDS.items(), TEST_TEXTS, SIZES):
        alarms = count_alarms(kind, test_texts, size, TEST_SETS)
        high = wilson_interval(alarms, windows, CONFIDENCE).high
        click.echo(f"{name}, test set {test_texts:,}, window {size:,}: {alarms} (< {high:.2%})")


if __name__ == "__main__":
    main()
