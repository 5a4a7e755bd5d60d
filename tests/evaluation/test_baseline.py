"""The baselines are scikit-learn's, and the same for the same texts."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from sentiment.evaluation.baseline import most_accurate, predict_by_tfidf, predict_most_frequent
from sentiment.text.reviews import Reviews

LABELS = ["bad", "fair", "good"]


def reviews(texts: int, seed: int) -> Reviews:
    """Return random texts. The first word says which label a text has, most of the time."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, texts)
    first = np.where(rng.random(texts) < 0.9, labels, rng.integers(0, 3, texts)) + 1
    others = rng.integers(4, 40, (texts, 8))
    return Reviews.from_lists(np.column_stack([first, others]).tolist(), labels)


def predictions(test: Reviews, order: np.ndarray) -> pd.DataFrame:
    """Return the predictions of a model, in the order of the padded rows."""
    names = np.array(LABELS)[test.labels[order]]
    probabilities = {f"probability_{name}": 1 / 3 for name in LABELS}
    return pd.DataFrame({"actual": names, "predicted": names, **probabilities})


def test_the_most_frequent_label_of_the_training_set_is_predicted_for_each_text() -> None:
    test = reviews(200, 0)
    table = predictions(test, np.arange(200))
    baseline = predict_most_frequent(np.array([0, 2, 2, 1], np.uint8), table)
    assert set(baseline.predictions["predicted"]) == {"good"}
    share = float((table["actual"] == "good").mean())
    assert baseline.metrics["baseline_accuracy"] == pytest.approx(share, abs=1e-6)


def test_the_most_accurate_baseline_may_be_the_most_frequent_label() -> None:
    test = reviews(200, 0)
    table = predictions(test, np.arange(200))
    frequent = predict_most_frequent(test.labels, table)
    worse = frequent._replace(predictions=table.assign(predicted="none"))
    assert most_accurate([frequent, worse]) is frequent
    assert most_accurate([worse, frequent]) is frequent


def test_tfidf_with_logistic_regression_predicts_what_scikit_learns_pipeline_predicts() -> None:
    train, test = reviews(400, 1), reviews(200, 2)
    order = np.random.default_rng(3).permutation(200)
    table = predictions(test, order)
    baseline = predict_by_tfidf(train, test, order, table)
    assert baseline.metrics == predict_by_tfidf(train, test, order, table).metrics
    texts = {
        name: [" ".join(f"word{rank}" for rank in ranks) for ranks in each]
        for name, each in (("train", train), ("test", test))
    }
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = LogisticRegression(max_iter=1000).fit(
        vectorizer.fit_transform(texts["train"]), train.labels
    )
    expected = np.array(LABELS)[model.predict(vectorizer.transform(texts["test"]))][order]
    agree = np.mean(baseline.predictions["predicted"].to_numpy() == expected)
    assert agree > 0.98  # by another solver, to which some texts are on the other side
    accuracy = float((baseline.predictions["predicted"] == table["actual"]).mean())
    assert baseline.metrics["baseline_tfidf_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert accuracy > 0.7
