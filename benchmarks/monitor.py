"""`python -m benchmarks.monitor`: measure how often unchanged texts raise an alarm.

The texts are not real: random numbers of words, shares of unknown words and probabilities stand in
for them, as skewed as those of reviews. A test set is drawn from them, and so is each window.
"""

import click
import numpy as np
import pandas as pd

from extras.monitor.drift import measure_drift, quantities
from sentiment.evaluation.metrics import CONFIDENCE, wilson_interval

MEAN_WORDS = (8, 20, 40, 100, 250)  # of a text
TEST_TEXTS = (500, 25_000)
TEST_SETS = 400
WINDOWS = 5  # for each test set
MIN_SIZE = 100  # texts in a window; the sizes are log-uniform
MAX_SIZE = 10_000
THRESHOLD = 0.5


def draw_texts(count: int, mean_words: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return `quantities` of random texts.

    The lengths are lognormal, with the standard deviation of IMDB's reviews in relation to their
    mean (0.75). A text has its own share of unknown words, 5 % on average. Most probabilities are
    near 0 or 1, as an LSTM's.
    """
    sigma = np.sqrt(np.log(1 + 0.75**2))
    lengths = rng.lognormal(np.log(mean_words) - sigma**2 / 2, sigma, count)
    words = np.maximum(lengths.round().astype(int), 1)
    probability = rng.beta(0.3, 0.3, count)
    return quantities(
        pd.DataFrame(
            {
                "words": words,
                "unknown_words": rng.binomial(words, rng.beta(1, 19, count)),
                "probability_negative": 1 - probability,
                "probability_positive": probability,
                "predicted": np.where(probability > THRESHOLD, "positive", "negative"),
            }
        )
    )


def count_alarms(mean_words: int, test_texts: int, rng: np.random.Generator) -> pd.Series:
    """Return the number of windows with an alarm of each quantity, and of `any`."""
    counts = []
    for _ in range(TEST_SETS):
        reference = draw_texts(test_texts, mean_words, rng)
        sizes = np.exp(rng.uniform(np.log(MIN_SIZE), np.log(MAX_SIZE), WINDOWS))
        for size in sizes:
            current = draw_texts(int(size), mean_words, rng)
            alarms = measure_drift(current, reference)["alarm"]
            counts.append({"any": alarms.any(), **alarms})
    return pd.DataFrame(counts).sum()


@click.command(help=__doc__)
def main() -> None:
    rng = np.random.default_rng(0)
    windows = TEST_SETS * WINDOWS
    rows = []
    for test_texts in TEST_TEXTS:
        for mean_words in MEAN_WORDS:
            counts = count_alarms(mean_words, test_texts, rng)
            high = wilson_interval(int(counts["any"]), windows, CONFIDENCE).high
            row = {"test texts": f"{test_texts:,}", "mean words": mean_words, "windows": windows}
            rows.append({**row, **counts, "upper end, any": f"{high:.2%}"})
    print(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
