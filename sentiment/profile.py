"""Build the reference profile of a model's texts, which later texts are compared with.

The profile holds no text. It holds a word only as its rank, and only if enough texts have the word.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.tokenizer import ReadLimits, Reviews

MIN_DOCUMENT_FREQUENCY = 10  # texts that must have a word
MAX_WORDS = 2000  # most frequent words that are counted
MAX_TEXTS = 25_000  # randomly drawn texts in which words are counted
RESAMPLES = 200  # random samples that are compared with the other texts
RESAMPLE_SIZE = 100  # texts in each of these samples


def build_profile(
    reviews: Mapping[str, Reviews],
    words_dropped: NDArray[Any],
    predictions: pd.DataFrame,
    limits: ReadLimits,
) -> dict[str, Any]:
    """Build the reference profile of a dataset and of the predictions for its test set.

    Args:
        reviews: the sets `train` and `test`.
        words_dropped: of the test set, see `sentiment.data.table.EncodedDataset`.
        predictions: see `sentiment.evaluation.metrics`, in the order of the test set.
        limits: which words the model reads.

    Returns:
        `texts`: number of texts of each set. `accuracy`: on the test set. `document_frequencies`:
        see `sample_document_frequencies`. `train` and `test`: mean and standard deviation of each
        statistic.
    """
    train = reviews["train"]
    test = reviews["test"]
    is_positive = predictions["predicted"] == "positive"
    probability = predictions["probability"]
    confidence = np.where(is_positive, probability, 1 - probability)
    statistics = {
        "train": text_statistics(train, np.zeros(1), limits) | {"positive": train.labels},
        "test": text_statistics(test, words_dropped, limits)
        | {"positive": is_positive, "confidence": confidence},
    }
    return {
        "texts": {name: len(reviews[name]) for name in statistics},
        "accuracy": float((predictions["predicted"] == predictions["actual"]).mean()),
        "document_frequencies": sample_document_frequencies(test),
        **{
            split: {name: [float(np.mean(x)), float(np.std(x))] for name, x in values.items()}
            for split, values in statistics.items()
        },
    }


def text_statistics(
    reviews: Reviews, words_dropped: NDArray[Any], limits: ReadLimits
) -> dict[str, Any]:
    """Return statistics of each review, shape (reviews,).

    Args:
        reviews: the reviews.
        words_dropped: number of words of each review that have no rank.
        limits: which words the model reads.

    Returns:
        `words`: number of words. `unknown`: share of words that are unknown to the model.
        `truncated`: whether the model ignores some words because of their number.
    """
    rare = np.array([np.count_nonzero(review > limits.max_rank) for review in reviews])
    words = reviews.lengths + words_dropped
    unknown = (rare + words_dropped) / np.maximum(words, 1)
    return {"words": words, "unknown": unknown, "truncated": reviews.lengths > limits.max_words}


def document_frequencies(texts: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """Return the number of texts that have each word, by rank from 1, shape (`MAX_WORDS`,).

    Args:
        texts: word ranks, each of shape (words,).
    """
    ranks = np.concatenate([np.zeros(0, np.int64), *map(np.unique, texts)])
    counted = ranks[ranks <= MAX_WORDS].astype(np.int64)
    return np.bincount(counted, minlength=MAX_WORDS + 1)[1:]


def total_variation_distance(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Return the total variation distance, from 0 to 1, of two counts of the same words."""
    return float(np.abs(a / max(a.sum(), 1) - b / max(b.sum(), 1)).sum() / 2)


def sample_document_frequencies(reviews: Reviews) -> dict[str, Any]:
    """Count the texts that have each word, and measure how far random samples are from the rest.

    The distance between samples of n and m texts is proportional to sqrt(1 / n + 1 / m). Small
    samples have the largest standard deviation, so they are drawn.

    Returns:
        `texts`: number of texts that were counted. `counts`: see `document_frequencies`; 0 for
        words of fewer than `MIN_DOCUMENT_FREQUENCY` texts. `distance`: mean and standard deviation
        of the distances, divided by sqrt(1 / n + 1 / m).
    """
    rng = np.random.default_rng(0)
    texts = [reviews[at] for at in rng.permutation(len(reviews))[:MAX_TEXTS]]
    frequencies = document_frequencies(texts)
    is_frequent = frequencies >= MIN_DOCUMENT_FREQUENCY
    size = min(RESAMPLE_SIZE, len(texts) // 2)
    scale = np.sqrt(1 / size + 1 / (len(texts) - size))
    distances = []
    for _ in range(RESAMPLES):
        drawn = rng.choice(len(texts), size, replace=False)
        sample = document_frequencies([texts[at] for at in drawn])
        rest = frequencies - sample
        distances.append(total_variation_distance(sample[is_frequent], rest[is_frequent]) / scale)
    return {
        "texts": len(texts),
        "counts": np.where(is_frequent, frequencies, 0).tolist(),
        "distance": [float(np.mean(distances)), float(np.std(distances))],
    }
