"""`python -m benchmarks.monitor.false_alarms`: measure how often unchanged texts raise an alarm.

The texts are IMDB's test reviews in `data/fetch` (`dvc repro fetch`), whole and cut to a number of
words. A logistic regression on IMDB's training reviews predicts them. Writes `false_alarms.md` next
to this file.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer

from extras.common.intervals import CONFIDENCE
from extras.monitor import drift
from extras.monitor.drift import WORD_USE, Effect, MonitorConfig
from extras.monitor.run import CONFIG_FILE
from sentiment.evaluation.metrics import wilson_interval
from sentiment.padding import layout
from sentiment.profile import ReferenceProfile, build_profile, count_words, text_statistics
from sentiment.tokenizer import ReadLimits, Reviews
from workflow import commands, files
from workflow.files import FETCH
from workflow.params import load_params, load_yaml

RESULTS = Path(__file__).with_name("false_alarms.md")
CUTS = (8, 12, 20, 40, None)  # words of a text; None: the whole review
SPLITS = 10  # random splits of the test reviews into a half for the profile and one for the windows
WINDOWS = 1000  # windows for each length of texts
MIN_SIZE = 100  # texts in a window
MAX_SIZE = 10_000
THRESHOLD = 0.5


@dataclass(frozen=True)
class PredictedTexts:
    """Texts, the predictions for them, and their words.

    Attributes:
        reviews: the texts.
        table: see `extras.monitor.window.Window.to_table`.
        word_counts: see `sentiment.profile.count_words`.
    """

    reviews: Reviews
    table: pd.DataFrame
    word_counts: scipy.sparse.csr_array

    def measure_effects(
        self, rows: NDArray[np.int64], profile: ReferenceProfile, config: MonitorConfig
    ) -> list[Effect]:
        """Compare some of the texts with a profile."""
        return drift.measure_effects(self.table.iloc[rows], self.word_counts[rows], profile, config)


def no_words_dropped(reviews: Reviews) -> NDArray[np.int64]:
    """Return zeros: IMDB's files have only words with a rank."""
    return np.zeros(len(reviews), np.int64)


def cut_reviews(reviews: Reviews, words: int | None) -> Reviews:
    """Return the first `words` words of each review."""
    return Reviews.from_lists([review[:words].tolist() for review in reviews], reviews.labels)


def draw_passages(reviews: Reviews, words: int) -> Reviews:
    """Return `words` consecutive words from a random place of each review."""
    rng = np.random.default_rng(0)
    passages = []
    for review in reviews:
        start = int(rng.integers(max(len(review) - words, 0) + 1))
        passages.append(review[start : start + words].tolist())
    return Reviews.from_lists(passages, reviews.labels)


def predict(model: Pipeline, reviews: Reviews, limits: ReadLimits) -> PredictedTexts:
    """Predict texts."""
    word_counts = count_words(reviews, no_words_dropped(reviews))
    statistics = text_statistics(reviews, no_words_dropped(reviews), limits)
    probability = model.predict_proba(word_counts)[:, 1]
    table = pd.DataFrame(statistics | {"probability": probability}).astype(float)
    return PredictedTexts(reviews, table, word_counts)


def profile_of(
    texts: PredictedTexts, rows: NDArray[np.int64], train: Reviews, limits: ReadLimits
) -> ReferenceProfile:
    """Return the profile of some of the texts."""
    reviews = texts.reviews
    test = Reviews.from_lists([reviews[row].tolist() for row in rows], reviews.labels[rows])
    predictions = texts.table.iloc[rows]
    dropped = no_words_dropped(test)
    return build_profile(train, test, dropped, predictions, limits, "keras", THRESHOLD)


def count_false_alarms(
    texts: PredictedTexts, train: Reviews, limits: ReadLimits, config: MonitorConfig
) -> dict[str, Any]:
    """Compare windows of one half of the texts with the profile of the other half.

    Returns:
        A row of the table: the number of windows with an alarm, the upper end of the confidence
        interval of their share, the quantities that raised one, and the number of windows in which
        word use is beyond chance, of any size.
    """
    rng = np.random.default_rng(1)
    alarms = 0
    word_use_beyond_chance = 0
    quantities = Counter[str]()
    for _ in range(SPLITS):
        known, held_out = np.split(rng.permutation(len(texts.reviews)), 2)
        profile = profile_of(texts, known, train, limits)
        sizes = np.exp(rng.uniform(np.log(MIN_SIZE), np.log(MAX_SIZE), WINDOWS // SPLITS))
        for size in sizes.astype(int):
            rows = rng.choice(held_out, size, replace=False)
            effects = texts.measure_effects(rows, profile, config)
            raised = [effect.quantity for effect in effects if effect.alarm]
            quantities.update(raised)
            alarms += bool(raised)
            word_use_beyond_chance += effects[-1].effect > effects[-1].chance_limit
    return {
        "windows": WINDOWS,
        "with an alarm": alarms,
        "upper end of its 95% interval": f"{wilson_interval(alarms, WINDOWS, CONFIDENCE).high:.2%}",
        "by": ", ".join(f"{name} {count}" for name, count in quantities.items()) or "–",
        "word use beyond chance": word_use_beyond_chance,
    }


def measure_length_alone(
    texts: PredictedTexts,
    held_out: NDArray[np.int64],
    profile: ReferenceProfile,
    config: MonitorConfig,
) -> dict[str, Any]:
    """Compare windows of shorter texts with the profile of whole reviews, by word use alone.

    Returns:
        A row of the table: the mean distance of the windows of each size, and the number of all
        windows with an alarm.
    """
    rng = np.random.default_rng(2)
    row: dict[str, Any] = {}
    alarms = 0
    for size in (100, 1000, 10_000):
        distances = []
        for _ in range(WINDOWS // SPLITS):
            rows = rng.choice(held_out, size, replace=False)
            word_use = texts.measure_effects(rows, profile, config)[-1]
            assert word_use.quantity == WORD_USE
            distances.append(word_use.effect)
            alarms += word_use.alarm
        row[f"{size:,} texts"] = f"{np.mean(distances):.3f}"
    return {**row, "with an alarm": alarms}


def write_page(unchanged: pd.DataFrame, shorter: pd.DataFrame) -> None:
    """Write the results as a page."""
    parts = [
        "# Monitoring",
        "Written by `python -m benchmarks.monitor.false_alarms`. The texts are IMDB's test "
        "reviews. A logistic regression on words predicts them.",
        "## False alarms",
        f"{WINDOWS:,} windows of {MIN_SIZE:,} to {MAX_SIZE:,} texts, of log-uniform sizes, are "
        f"compared with the profile of other texts, in {SPLITS} random splits of the reviews into "
        "two halves. The texts are the first words of reviews, or whole reviews.",
        unchanged.to_markdown(index=False, disable_numparse=True),
        "## Word use of shorter texts",
        "Passages from random places of reviews are compared with the profile of other, whole "
        f"reviews: the mean distance of {WINDOWS // SPLITS} windows of each size, and how many of "
        "all these windows raise an alarm of word use.",
        shorter.to_markdown(index=False, disable_numparse=True),
    ]
    files.write_text_atomically(RESULTS, "\n\n".join(parts) + "\n")


@commands.command(__doc__)
def main() -> None:
    config = load_yaml(MonitorConfig, CONFIG_FILE)
    limits = ReadLimits.from_layouts([asdict(layout(load_params().pad))])
    train = files.read_reviews(FETCH, "train")
    test = files.read_reviews(FETCH, "test")
    model = make_pipeline(Normalizer(), LogisticRegression(C=10, max_iter=1000))
    model.fit(count_words(train, no_words_dropped(train)), train.labels)
    unchanged = []
    for words in CUTS:
        texts = predict(model, cut_reviews(test, words), limits)
        row = count_false_alarms(texts, cut_reviews(train, words), limits, config)
        unchanged.append({"words of a text": words or "whole review"} | row)
        print(unchanged[-1], flush=True)
    whole = predict(model, test, limits)
    known, held_out = np.split(np.random.default_rng(0).permutation(len(test)), 2)
    profile = profile_of(whole, known, train, limits)
    shorter = []
    for words in CUTS:
        if words is not None:
            texts = predict(model, draw_passages(test, words), limits)
            row = measure_length_alone(texts, held_out, profile, config)
            shorter.append({"words of a passage": words} | row)
            print(shorter[-1], flush=True)
    write_page(pd.DataFrame(unchanged), pd.DataFrame(shorter))


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.monitor.false_alarms", main)
