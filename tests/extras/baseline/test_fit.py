"""A fitted model answers as scikit-learn's own does."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from extras.baseline import fit as model
from extras.baseline.fit import OPTIONS, LinearOptions
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


def test_tfidf_is_scikit_learn_s(reviews: Reviews, settings: LinearOptions) -> None:
    fitted = model.fit_tfidf(model.count(reviews, 4), reviews.labels, settings)
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=4, token_pattern=r"\S+")
    x = vectors.fit_transform(as_text(TEXTS))
    expected = LogisticRegression(C=settings.tfidf_c, max_iter=10_000).fit(x, LABELS)
    probabilities = expected.predict_proba(vectors.transform(as_text(UNSEEN)))[:, 1]
    answers = fitted.probabilities([np.array(review, np.int64) for review in UNSEEN])
    np.testing.assert_allclose(answers, probabilities, atol=1e-4)
