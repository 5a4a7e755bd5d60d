"""What a model has to beat: the most frequent label, and TF-IDF with logistic regression.

Both are the same for the same data: they have no params.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.evaluation.metrics import DECIMALS, METRICS
from sentiment.text.labels import label_names_in
from sentiment.text.reviews import Reviews

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

MAX_FEATURES = 200_000
# Features times labels. With more than 50 labels, fewer features are kept, which bounds memory.
MAX_WEIGHTS = 10_000_000
MAX_ITERATIONS = 1000
COMPARED = ("accuracy", "f1")


class Baseline(NamedTuple):
    """What a simple model predicts for the test set.

    Attributes:
        title: what the card calls it.
        metrics: its accuracy and F1 by the names that MLflow has.
        predictions: see `sentiment.evaluation.metrics`, but without its probabilities.
    """

    title: str
    metrics: dict[str, float]
    predictions: pd.DataFrame


def predict_most_frequent(train_labels: NDArray[np.integer], predictions: pd.DataFrame) -> Baseline:
    """Predict the label that most training texts have, for each text.

    Args:
        train_labels: indices of labels, shape (training texts,).
        predictions: of another model for the test set.
    """
    indices = np.full(len(predictions), np.bincount(train_labels).argmax())
    return _baseline("the most frequent label", "baseline", indices, predictions)


def predict_by_tfidf(
    train: Reviews, test: Reviews, order: NDArray[np.int64], predictions: pd.DataFrame
) -> Baseline:
    """Train TF-IDF with logistic regression on word ranks, and predict the test set.

    Args:
        order: the position in `test` of each row of `predictions`, shape (texts,).
        predictions: of another model for the test set.
    """
    vectorizer = new_vectorizer(int(train.labels.max()) + 1)
    features = vectorizer.fit_transform(words_of(train))
    model = train_logistic_regression(features, train.labels)
    indices = model.predict(vectorizer.transform(words_of(test)))[order]
    title = "TF-IDF with logistic regression"
    return _baseline(title, "baseline_tfidf", indices, predictions)


def most_accurate(baselines: Sequence[Baseline]) -> Baseline:
    """Return the baseline with the highest accuracy."""
    return max(baselines, key=lambda each: METRICS["accuracy"].compute(each.predictions))


def _baseline(
    title: str, prefix: str, indices: NDArray[np.integer], predictions: pd.DataFrame
) -> Baseline:
    names = np.array(label_names_in(predictions.columns))
    own = predictions.assign(predicted=names[indices])
    values = {f"{prefix}_{name}": METRICS[name].compute(own) for name in COMPARED}
    return Baseline(title, {name: round(value, DECIMALS) for name, value in values.items()}, own)


def words_of(reviews: Reviews) -> Iterable[list[str]]:
    """Yield the words of each review, whose ranks are as good as the words."""
    for ranks in reviews:
        yield [str(rank) for rank in ranks.tolist()]


def new_vectorizer(label_count: int) -> Any:
    """Return a vectorizer of lists of words: TF-IDF of words and pairs of words.

    Source: `TfidfVectorizer` of scikit-learn.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        preprocessor=_keep,
        tokenizer=_keep,
        token_pattern=None,
        ngram_range=(1, 2),
        sublinear_tf=True,
        max_features=min(MAX_FEATURES, MAX_WEIGHTS // label_count),
        dtype=np.float32,
    )


def _keep(words: list[str]) -> list[str]:
    return words


def train_logistic_regression(
    features: "csr_matrix", labels: NDArray[np.integer]
) -> "LogisticRegression":
    """Return a logistic regression that is trained on features, shape (texts, features).

    Args:
        labels: the index of the label of each text, shape (texts,).
    """
    from sklearn.linear_model import LogisticRegression

    # The solver takes a fortieth of the time of the default, for the same optimum.
    model = LogisticRegression(solver="newton-cg", max_iter=MAX_ITERATIONS)
    return model.fit(features, labels)
