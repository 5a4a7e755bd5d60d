"""The fitted models answer as scikit-learn's own do."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from extras.baseline import fit as model
from extras.baseline.fit import OPTIONS, LinearOptions
from sentiment.serving.linear_classifier import BIGRAM_BITS, LinearClassifier
from sentiment.tokenizer import Reviews
from tests.project import ROOT
from workflow.params import load_yaml

TEXTS = [[1, 2, 3], [1, 2, 2], [4, 3], [4, 1, 2], [3, 4, 4, 2], [2, 3, 1]] * 3
LABELS = np.array([1, 1, 0, 1, 0, 0] * 3)
UNSEEN = [[1, 2], [4, 4, 3, 7], [7], [2, 3, 1, 2]]


@pytest.fixture
def reviews() -> Reviews:
    return Reviews.from_lists(TEXTS, LABELS)


@pytest.fixture
def settings() -> LinearOptions:
    options = load_yaml(LinearOptions, ROOT / OPTIONS)
    return options.model_copy(update={"min_reviews": 4, "max_iterations": 10_000})


def as_text(ranks: list[list[int]]) -> list[str]:
    return [" ".join(f"w{rank}" for rank in review) for review in ranks]


def vectorizer(kind: type[CountVectorizer], binary: bool = False) -> CountVectorizer:
    return kind(ngram_range=(1, 2), min_df=4, token_pattern=r"\S+", binary=binary)


def answers(fitted: LinearClassifier) -> NDArray[np.float32]:
    return fitted.probabilities([np.array(review, np.int64) for review in UNSEEN])


def test_features_are_the_words_and_bigrams_of_enough_reviews(reviews: Reviews) -> None:
    counts = model.count(reviews, 4)
    vectors = vectorizer(CountVectorizer).fit_transform(as_text(TEXTS))
    assert counts.matrix.shape == vectors.shape
    assert sorted(counts.matrix.sum(axis=0).tolist()[0]) == sorted(vectors.sum(axis=0).tolist()[0])
    assert (1 << BIGRAM_BITS) + 2 in counts.keys
    assert (3 << BIGRAM_BITS) + 1 not in model.count(reviews, 7).keys
    alone = Reviews.from_lists(TEXTS[:2], LABELS[:2])
    assert (3 << BIGRAM_BITS) + 1 not in model.count(alone, 1).keys  # none spans two reviews


def test_tfidf_is_scikit_learn_s(reviews: Reviews, settings: LinearOptions) -> None:
    fitted = model.fit_tfidf(model.count(reviews, 4), reviews.labels, settings)
    vectors = vectorizer(TfidfVectorizer)
    x = vectors.fit_transform(as_text(TEXTS))
    expected = LogisticRegression(C=settings.tfidf_c, max_iter=10_000).fit(x, LABELS)
    probabilities = expected.predict_proba(vectors.transform(as_text(UNSEEN)))[:, 1]
    np.testing.assert_allclose(answers(fitted), probabilities, atol=1e-4)


def test_naive_bayes_weights_are_those_of_wang_and_manning(
    reviews: Reviews, settings: LinearOptions
) -> None:
    fitted = model.fit_naive_bayes(model.count(reviews, 4), reviews.labels, settings)
    vectors = vectorizer(CountVectorizer, binary=True)
    f = vectors.fit_transform(as_text(TEXTS)).toarray().astype(float)
    p, q = (settings.smoothing + f[label == LABELS].sum(axis=0) for label in (1, 0))
    r = np.log((p / np.abs(p).sum()) / (q / np.abs(q).sum()))
    expected = LogisticRegression(C=settings.naive_bayes_c, max_iter=10_000).fit(f * r, LABELS)
    probabilities = expected.predict_proba(vectors.transform(as_text(UNSEEN)).toarray() * r)[:, 1]
    np.testing.assert_allclose(answers(fitted), probabilities, atol=1e-4)


def test_a_part_has_the_reviews_in_the_order_wanted(reviews: Reviews) -> None:
    some = model.choose(reviews, np.array([4, 0]))
    assert [review.tolist() for review in some] == [TEXTS[4], TEXTS[0]]
    assert some.labels.tolist() == [0, 1]
