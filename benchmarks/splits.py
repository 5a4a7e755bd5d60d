"""`python -m benchmarks.splits`: compare how validation sets and the test set order models.

Trains nine linear models of IMDB on four fifths of the training reviews, five times, so that each
review is validated once. A fifth is drawn at random or has films of its own: in Keras' archive,
before the shuffle, the reviews of a film with the same label stand together. The models are also
trained on all training reviews and evaluated on the test set. Prints the accuracies, and how well
the orders agree (Spearman's rank correlation). Run `dvc repro fetch` before. Takes half an hour.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sentiment.padding import shuffle_orders
from sentiment.tokenizer import Reviews
from workflow import commands, files
from workflow.files import FETCH

FOLDS = 5
RANK_BITS = 18  # bits of each word's rank in the key of an n-gram
# Logistic regressions: words in the longest n-grams, minimum reviews of an n-gram, smoothing.
REGRESSIONS = [(2, 1, 1), (2, 3, 1), (3, 1, 1), (3, 1, 2), (3, 2, 1), (3, 3, 1)]
C = 0.1  # inverse strength of their regularization
# Adam without a penalty, as the architecture `linear` is trained, but in NumPy and without features
# of the ending, buckets, a bias and a schedule.
EPOCHS = 3
BATCH_SIZE = 32
LEARNING_RATE = 0.001
MIN_REVIEWS = 2


class Features(NamedTuple):
    """The n-grams of each review, and the naive-Bayes log-ratio of each n-gram.

    Attributes:
        train: whether each training review has each n-gram, shape (reviews, n-grams), 1 or 0.
        held_out: the same for the reviews to predict.
        log_ratio: shape (n-grams,).
    """

    train: scipy.sparse.csr_array
    held_out: scipy.sparse.csr_array
    log_ratio: NDArray[np.float32]


def review_keys(reviews: Reviews, ngrams: int) -> list[NDArray[np.int64]]:
    """Return the keys of the distinct n-grams of each review."""
    keys = []
    for ranks in reviews:
        words = ranks.astype(np.int64)
        key = words
        found = [words]
        for size in range(2, ngrams + 1):
            key = (key[: len(words) - size + 1] << RANK_BITS) + words[size - 1 :]
            found.append(key)
        keys.append(np.unique(np.concatenate(found)))
    return keys


def find_occurrences(
    keys: list[NDArray[np.int64]], known: NDArray[np.int64]
) -> scipy.sparse.csr_array:
    """Return whether each review has each known key, shape (reviews, known keys), float32."""
    flat = np.concatenate(keys)
    rows = np.repeat(np.arange(len(keys)), [len(one) for one in keys])
    columns = np.minimum(np.searchsorted(known, flat), len(known) - 1)
    is_known = known[columns] == flat
    ones = np.ones(is_known.sum(), np.float32)
    shape = (len(keys), len(known))
    return scipy.sparse.csr_array((ones, (rows[is_known], columns[is_known])), shape)


def make_features(
    train: list[NDArray[np.int64]],
    labels: NDArray[np.uint8],
    held_out: list[NDArray[np.int64]],
    min_reviews: int,
    smoothing: int,
) -> Features:
    """Choose the n-grams of enough training reviews, and weigh them by naive Bayes."""
    known, counts = np.unique(np.concatenate(train), return_counts=True)
    known = known[counts >= min_reviews]
    occurs = find_occurrences(train, known)
    positive = smoothing + occurs[labels == 1].sum(axis=0)
    negative = smoothing + occurs[labels == 0].sum(axis=0)
    ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return Features(occurs, find_occurrences(held_out, known), ratio.astype(np.float32))


def fit_regression(features: Features, labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Fit a logistic regression, and return its log-odds for the held-out reviews."""
    from sklearn.linear_model import LogisticRegression

    scale = scipy.sparse.diags_array(features.log_ratio)
    model = LogisticRegression(C=C, max_iter=1000).fit(features.train @ scale, labels)
    log_odds: NDArray[np.float64] = model.decision_function(features.held_out @ scale)
    return log_odds


def adam_epochs(features: Features, labels: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    """Yield the log-odds of the held-out reviews after each epoch of Adam."""
    rng = np.random.default_rng(0)
    scale = scipy.sparse.diags_array(features.log_ratio)
    x = features.train @ scale
    held_out = features.held_out @ scale
    weights = np.zeros(len(features.log_ratio), np.float32)
    mean = np.zeros_like(weights)
    square = np.zeros_like(weights)
    steps = 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(labels))
        for start in range(0, len(labels), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            rows = x[batch]
            probability = 1 / (1 + np.exp(-(rows @ weights)))
            gradient = rows.T @ ((probability - labels[batch]) / len(batch)).astype(np.float32)
            steps += 1
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            rate = LEARNING_RATE * np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
            weights -= (rate * mean / (np.sqrt(square) + 1e-7)).astype(np.float32)
        yield held_out @ weights


def accuracies(
    train: list[NDArray[np.int64]],
    train_labels: NDArray[np.uint8],
    held_out: list[NDArray[np.int64]],
    labels: NDArray[np.uint8],
) -> dict[str, float]:
    """Return the accuracy of each model on the held-out reviews."""
    log_odds: dict[str, NDArray[Any]] = {}
    for ngrams, min_reviews, smoothing in REGRESSIONS:
        limit = 1 << (RANK_BITS * ngrams)
        features = make_features(
            [keys[keys < limit] for keys in train],
            train_labels,
            [keys[keys < limit] for keys in held_out],
            min_reviews,
            smoothing,
        )
        name = f"regression, {ngrams}-grams of {min_reviews} reviews, smoothing {smoothing}"
        log_odds[name] = fit_regression(features, train_labels)
    features = make_features(train, train_labels, held_out, MIN_REVIEWS, 1)
    for epoch, predicted in enumerate(adam_epochs(features, train_labels), 1):
        log_odds[f"Adam without a penalty, epoch {epoch}"] = predicted
    return {name: float(np.mean((odds > 0) == labels)) for name, odds in log_odds.items()}


def folds(kind: str, labels: NDArray[np.uint8], order: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Return the positions of the reviews of each fold."""
    if kind == "at random":
        return np.array_split(order, FOLDS)
    by_label = [np.array_split(np.flatnonzero(labels == label), FOLDS) for label in (0, 1)]
    return [np.concatenate(pair) for pair in zip(*by_label, strict=True)]


@commands.command(__doc__)
def main() -> None:
    import pandas as pd
    from scipy.stats import spearmanr

    reviews = files.read_reviews(FETCH, "train")
    test = files.read_reviews(FETCH, "test")
    order, _ = shuffle_orders(len(reviews), len(test))
    keys = review_keys(reviews, 3)
    table = {}
    for kind in ("at random", "by film"):
        results = []
        for fold in folds(kind, reviews.labels, order):
            rest = np.setdiff1d(order, fold, assume_unique=True)
            results.append(
                accuracies(
                    [keys[review] for review in rest],
                    reviews.labels[rest],
                    [keys[review] for review in fold],
                    reviews.labels[fold],
                )
            )
            print(f"{kind}: {len(results)} of {FOLDS}", flush=True)
        table[kind] = pd.DataFrame(results).mean()
    table["test"] = pd.Series(accuracies(keys, reviews.labels, review_keys(test, 3), test.labels))
    frame = pd.DataFrame(table)
    print(frame.round(4).to_string())
    for kind in ("at random", "by film"):
        print(f"{kind}: rank correlation {spearmanr(frame[kind], frame['test'])[0]:.2f}")


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.splits", main)
