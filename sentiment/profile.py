"""What a model's texts looked like, as numbers that later texts are compared with.

No text is among these, and of a word only its rank, if `LEAST` texts have it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.tokenizer import ReadLimits, Reviews

MIN_DOCUMENT_FREQUENCY, MAX_WORDS = (
    10,
    2000,
)  # texts that have a word; words, the most frequent ones
MAX_TEXTS = 25_000  # whose words are counted, at most, drawn at random
RESAMPLES, RESAMPLE_SIZE = 200, 100  # samples, of so many texts


def build_profile(
    reviews: Mapping[str, Reviews], dropped: NDArray[Any], table: pd.DataFrame, limits: ReadLimits
) -> dict[str, Any]:
    """The profile of the parts `train` and `test`: mean and deviation of each number, and more.

    Of each test review so many words are `dropped`, see
    `sentiment.data.table.EncodedDataset`; the table is
    that of `sentiment.evaluation.metrics`, in the order of the test part.
    """
    train, test = reviews["train"], reviews["test"]
    positive = table["predicted"] == "positive"
    confidence = np.where(positive, table["probability"], 1 - table["probability"])
    numbers = {
        "train": text_statistics(train, np.zeros(1), limits) | {"positive": train.labels},
        "test": text_statistics(test, dropped, limits)
        | {"positive": positive, "confidence": confidence},
    }
    return {
        "texts": {part: len(reviews[part]) for part in numbers},
        "accuracy": float((table["predicted"] == table["actual"]).mean()),
        "word_use": sample_document_frequencies(test),
        **{
            part: {name: [float(np.mean(of)), float(np.std(of))] for name, of in measures.items()}
            for part, measures in numbers.items()
        },
    }


def text_statistics(reviews: Reviews, dropped: NDArray[Any], limits: ReadLimits) -> dict[str, Any]:
    """The words of each review, which share of them is unknown, and whether it is truncated."""
    beyond = np.array([np.count_nonzero(review > limits.max_rank) for review in reviews])
    words = reviews.lengths + dropped
    unknown = (beyond + dropped) / np.maximum(words, 1)
    return {"words": words, "unknown": unknown, "truncated": reviews.lengths > limits.max_words}


def document_frequencies(texts: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """How many texts, each of ranks, have each word, by its rank from 1, shape (`WORDS`,)."""
    ranks = np.concatenate([np.zeros(0, np.int64), *map(np.unique, texts)])
    return np.bincount(ranks[ranks <= MAX_WORDS].astype(np.int64), minlength=MAX_WORDS + 1)[1:]


def total_variation_distance(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """The total variation distance, 0 to 1, of two uses of words."""
    return float(np.abs(a / max(a.sum(), 1) - b / max(b.sum(), 1)).sum() / 2)


def sample_document_frequencies(reviews: Reviews) -> dict[str, Any]:
    """The use of words in so many `texts`, and how far samples of them are `apart` from the others.

    The distance of samples of n and m texts falls with sqrt(1 / n + 1 / m): kept are its mean and
    deviation divided by that, of small samples, whose deviation is the largest.
    """
    rng = np.random.default_rng(0)
    texts = [reviews[at] for at in rng.permutation(len(reviews))[:MAX_TEXTS]]
    total, size, apart = document_frequencies(texts), min(RESAMPLE_SIZE, len(texts) // 2), []
    kept, scale = total >= MIN_DOCUMENT_FREQUENCY, np.sqrt(1 / size + 1 / (len(texts) - size))
    for _ in range(RESAMPLES):
        found = document_frequencies(
            [texts[at] for at in rng.choice(len(texts), size, replace=False)]
        )
        apart.append(total_variation_distance(found[kept], (total - found)[kept]) / scale)
    spread = [float(np.mean(apart)), float(np.std(apart))]
    return {"texts": len(texts), "use": np.where(kept, total, 0).tolist(), "apart": spread}
