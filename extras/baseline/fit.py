"""Linear models of words and bigrams, fitted by scikit-learn: pure functions."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from sentiment.errors import UserError
from sentiment.section import Section
from sentiment.serving.linear_classifier import LinearClassifier, bigrams
from sentiment.tokenizer import Reviews

OPTIONS = Path("extras", "baseline", "params.yaml")


class LinearOptions(Section):
    min_reviews: int = Field(ge=1, le=1_000_000)
    tfidf_c: float = Field(gt=0, le=1_000_000)
    naive_bayes_c: float = Field(gt=0, le=1_000_000)
    smoothing: float = Field(gt=0, le=1000)
    max_iterations: int = Field(ge=1, le=100_000)


class Counts(NamedTuple):
    """How often each feature occurs in each review.

    Attributes:
        keys: of the features, rising, shape (features,), see `linear_classifier.bigrams`.
        matrix: shape (reviews, features), float64.
    """

    keys: NDArray[np.int64]
    matrix: csr_matrix


def choose(reviews: Reviews, order: NDArray[np.int64]) -> Reviews:
    """Some of the reviews, one at least, in this order."""
    offsets = np.append(0, np.cumsum(reviews.lengths[order]))
    tokens = np.concatenate([reviews[review] for review in order])
    return Reviews(tokens, offsets, reviews.labels[order])


def count(reviews: Reviews, min_reviews: int) -> Counts:
    """Count the words and bigrams of at least so many reviews; UserError if there is none."""
    words = reviews.tokens.astype(np.int64)
    rows = np.repeat(np.arange(len(reviews)), reviews.lengths)
    inside = rows[:-1] == rows[1:]  # no bigram spans two reviews
    features = np.concatenate([words, bigrams(words)[inside]])
    keys, columns = np.unique(features, return_inverse=True)
    where = np.concatenate([rows, rows[:-1][inside]]), columns
    matrix = csr_matrix((np.ones(len(columns)), where), (len(reviews), len(keys)))
    kept = np.flatnonzero(matrix.getnnz(axis=0) >= min_reviews)
    if not len(kept):
        raise UserError(
            f"{OPTIONS}: min_reviews: no word is in {min_reviews} of the {len(reviews)} reviews."
        )
    return Counts(keys[kept], matrix[:, kept])


def fit_tfidf(
    counts: Counts, labels: NDArray[np.uint8], options: LinearOptions
) -> LinearClassifier:
    """Logistic regression on TF-IDF: what occurs in few reviews weighs more."""
    transform = TfidfTransformer().fit(counts.matrix)
    model = LogisticRegression(C=options.tfidf_c, max_iter=options.max_iterations)
    fitted = model.fit(transform.transform(counts.matrix), labels)
    return _linear(counts.keys, transform.idf_, fitted, tfidf=True)


def fit_naive_bayes(
    counts: Counts, labels: NDArray[np.uint8], options: LinearOptions
) -> LinearClassifier:
    """Logistic regression on occurrence times the log-ratio by which naive Bayes weighs it.

    Source: Wang and Manning 2012, Baselines and Bigrams: Simple, Good Sentiment and Topic
    Classification (NBSVM, here with logistic regression).
    """
    occurs = counts.matrix.sign()
    positive, negative = (
        options.smoothing + np.asarray(occurs[labels == label].sum(axis=0)).ravel()
        for label in (1, 0)
    )
    ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    model = LogisticRegression(C=options.naive_bayes_c, max_iter=options.max_iterations)
    fitted = model.fit(occurs.multiply(ratio).tocsr(), labels)
    return _linear(counts.keys, ratio, fitted, tfidf=False)


def _linear(
    keys: NDArray[np.int64], scale: NDArray[Any], fitted: LogisticRegression, tfidf: bool
) -> LinearClassifier:
    """By TF-IDF, occurrences are counted and values normalized."""
    weights, bias = fitted.coef_[0].astype(np.float32), fitted.intercept_[0].astype(np.float32)
    counted = normalized = np.array(tfidf)
    return LinearClassifier(
        keys, scale.astype(np.float32), weights, np.array(bias), counted, normalized
    )
