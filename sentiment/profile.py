"""Build the reference profile of a model's test texts, which later texts are compared with.

The profile holds no text. It holds a word only as its rank, and only if enough training texts have
the word.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from sentiment.section import Section
from sentiment.tokenizer import ReadLimits, Reviews

MIN_DOCUMENT_FREQUENCY = 10  # training texts that must have a word that is counted on its own
MAX_WORDS = 2000  # greatest rank of a word that is counted on its own
MAX_TEXTS = 25_000  # randomly drawn texts in which words are counted
RESAMPLES = 100  # random samples of each size that are compared with the other texts
RESAMPLE_SIZES = (100, 300, 1000, 3000)  # texts in these samples, besides half of all texts
# Third octaves: each bin is about a quarter wider than the one before.
WORD_EDGES = np.unique([0, *np.geomspace(1, 100_000, 51).round()])
PROBABILITY_EDGES = np.linspace(0, 1, 21).round(2)


class MeanAndDeviation(Section):
    """The mean and the standard deviation of a quantity."""

    mean: float
    deviation: float


class Histogram(Section):
    """The number of values in each bin.

    Attributes:
        edges: the lower edge of each bin, and the upper edge of the last one.
        counts: number of values in each bin.
    """

    edges: list[float]
    counts: list[int]


class WordUse(Section):
    """The words of texts.

    Attributes:
        texts: number of texts.
        ranks: the ranks of the words that are counted on their own.
        counts: how often each of these words occurs.
        other_words: how often all other words occur.
        distance: distance of random samples from the other texts, see `resample_distances`.
    """

    texts: int
    ranks: list[int]
    counts: list[int]
    other_words: int
    distance: MeanAndDeviation


class ReferenceProfile(Section):
    """Numbers about the test texts of a model and its predictions for them.

    Attributes:
        tokenizer: the tokenizer of the dataset.
        threshold: the probability above which the model predicts `positive`.
        texts: number of texts.
        statistics: see `text_statistics` and `prediction_statistics`.
        histograms: histograms of `words` and `probability`.
        word_use: the words of the texts.
    """

    tokenizer: str
    threshold: float
    texts: int
    statistics: dict[str, MeanAndDeviation]
    histograms: dict[str, Histogram]
    word_use: WordUse


def build_profile(
    train: Reviews,
    test: Reviews,
    words_dropped: NDArray[Any],
    predictions: pd.DataFrame,
    limits: ReadLimits,
    tokenizer: str,
    threshold: float,
) -> ReferenceProfile:
    """Build the reference profile of a test set and of a model's predictions for it.

    Args:
        train: the training set.
        test: the test set, at least two reviews.
        words_dropped: words without a rank, see `sentiment.data.table.EncodedDataset`.
        predictions: see `sentiment.evaluation.metrics`, in the order of the test set.
        limits: which words the model reads.
        tokenizer: the tokenizer of the dataset.
        threshold: the probability above which the model predicts `positive`.
    """
    words_dropped = np.broadcast_to(words_dropped, len(test))
    probability = predictions["probability"].to_numpy(float)
    statistics = {
        **text_statistics(test, words_dropped, limits),
        **prediction_statistics(probability, threshold),
    }
    return ReferenceProfile(
        tokenizer=tokenizer,
        threshold=threshold,
        texts=len(test),
        statistics={
            name: MeanAndDeviation(mean=float(np.mean(values)), deviation=float(np.std(values)))
            for name, values in statistics.items()
        },
        histograms={
            "words": count_in_bins(statistics["words"], WORD_EDGES),
            "probability": count_in_bins(probability, PROBABILITY_EDGES),
        },
        word_use=describe_word_use(train, test, words_dropped),
    )


def text_statistics(
    reviews: Reviews, words_dropped: NDArray[Any], limits: ReadLimits
) -> dict[str, NDArray[Any]]:
    """Return statistics of each review, shape (reviews,).

    Args:
        reviews: the reviews.
        words_dropped: number of words of each review that have no rank, shape (reviews,).
        limits: which words the model reads.

    Returns:
        `words`: number of words. `unknown`: share of words that are unknown to the model.
        `truncated`: whether the model ignores some words because of their number.
    """
    rare = np.array([np.count_nonzero(review > limits.max_rank) for review in reviews])
    words = reviews.lengths + words_dropped
    unknown = (rare + words_dropped) / np.maximum(words, 1)
    return {"words": words, "unknown": unknown, "truncated": reviews.lengths > limits.max_words}


def prediction_statistics(
    probability: NDArray[np.floating], threshold: float
) -> dict[str, NDArray[Any]]:
    """Return statistics of each prediction, shape (texts,).

    Returns:
        `positive`: whether the label is positive. `confidence`: the probability of the label.
    """
    is_positive = probability > threshold
    confidence = np.where(is_positive, probability, 1 - probability)
    return {"positive": is_positive, "confidence": confidence}


def count_in_bins(values: ArrayLike, edges: ArrayLike) -> Histogram:
    """Count the values in each bin. Values beyond the edges belong to the first or last bin."""
    edges = np.asarray(edges, float)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return Histogram(edges=edges.tolist(), counts=counts.tolist())


def count_words(
    texts: Iterable[Sequence[int] | NDArray[np.integer]], words_dropped: NDArray[Any]
) -> scipy.sparse.csr_array:
    """Count how often each text has each word.

    Args:
        texts: the ranks of the words of each text, at least one text.
        words_dropped: number of words of each text that have no rank, shape (texts,).

    Returns:
        Shape (texts, `MAX_WORDS` + 1). The column is the word's rank; column 0 has all words
        without a rank of at most `MAX_WORDS`.
    """
    zero = np.zeros(1, np.int32)  # the column of the words that are dropped
    columns = [np.concatenate([zero, text], dtype=np.int32, casting="unsafe") for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in columns])])
    indices = np.concatenate(columns)
    indices[indices > MAX_WORDS] = 0
    counts = np.ones(len(indices), np.int32)
    counts[offsets[:-1]] = words_dropped
    shape = (len(columns), MAX_WORDS + 1)
    matrix = scipy.sparse.csr_array((counts, indices, offsets), shape)
    matrix.sum_duplicates()
    return matrix


def total_variation_distance(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Return the total variation distance, from 0 to 1, of two counts of the same words."""
    return float(np.abs(a / max(a.sum(), 1) - b / max(b.sum(), 1)).sum() / 2)


def describe_word_use(train: Reviews, test: Reviews, words_dropped: NDArray[np.integer]) -> WordUse:
    """Count the words of a test set, and measure how far random samples are from the rest.

    Words are compared by their share of all words. A text's length then matters little: the first
    half of a text has about the same share of each word as all of it. The share of texts that have
    a word would grow with their length, and most of all for words such as "the".

    The training set decides which words are counted on their own. If the test set did, it would
    have these words more often than later texts, because words just above the limit are there
    partly by chance.

    Args:
        train: the training set.
        test: the test set, at least two reviews.
        words_dropped: see `count_words`.

    Source: Kilgarriff 2001, Comparing Corpora.
    """
    rng = np.random.default_rng(0)
    frequencies = np.zeros(MAX_WORDS + 1, np.int64)
    for at in rng.permutation(len(train))[:MAX_TEXTS]:
        words = np.unique(train[at])
        frequencies[words[words <= MAX_WORDS]] += 1
    ranks = np.flatnonzero(frequencies >= MIN_DOCUMENT_FREQUENCY)
    drawn = rng.permutation(len(test))[:MAX_TEXTS]
    counts = count_words((test[review] for review in drawn), words_dropped[drawn])
    *own_counts, other_words = merge_other_words(counts.sum(axis=0), ranks).tolist()
    return WordUse(
        texts=len(drawn),
        ranks=ranks.tolist(),
        counts=own_counts,
        other_words=other_words,
        distance=resample_distances(counts, ranks),
    )


def merge_other_words(totals: NDArray[np.integer], ranks: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the counts of the words with these ranks, and one count of all other words.

    Args:
        totals: how often each word occurs, in the columns of `count_words`.
        ranks: ranks of the words that are counted on their own, shape (words,).

    Returns:
        Shape (words + 1,).
    """
    own_counts = totals[ranks].astype(np.int64)
    return np.append(own_counts, totals.sum() - own_counts.sum())


def resample_distances(
    counts: scipy.sparse.csr_array, ranks: NDArray[np.integer]
) -> MeanAndDeviation:
    """Measure the distance between the words of random samples and of the other texts.

    Texts are drawn, not words: a word that occurs in a text is likely to occur there again, so the
    words of a text vary together. The distance of samples of n and m texts is then proportional to
    sqrt(1 / n + 1 / m) if most words occur several times in both, and smaller if they do not.
    Samples of several sizes are therefore drawn.

    Args:
        counts: see `count_words`, at least two texts.
        ranks: see `merge_other_words`.

    Returns:
        Mean and standard deviation of the total variation distances, divided by
        sqrt(1 / n + 1 / m). Each is the largest of all sizes.

    Source: Church and Gale 1995, Poisson Mixtures (words of a text vary together).
    """
    rng = np.random.default_rng(0)
    texts = counts.shape[0]
    totals = counts.sum(axis=0)
    means = []
    deviations = []
    for size in sorted({min(size, texts // 2) for size in (*RESAMPLE_SIZES, texts // 2)}):
        scale = np.sqrt(1 / size + 1 / (texts - size))
        distances = []
        for _ in range(RESAMPLES):
            sample = counts[rng.choice(texts, size, replace=False)].sum(axis=0)
            distance = total_variation_distance(
                merge_other_words(sample, ranks), merge_other_words(totals - sample, ranks)
            )
            distances.append(distance / scale)
        means.append(float(np.mean(distances)))
        deviations.append(float(np.std(distances)))
    return MeanAndDeviation(mean=max(means), deviation=max(deviations))
