"""An ensemble of networks is evaluated on the reviews that its members have in common."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from extras.common.evaluated_runs import EvaluatedRun
from extras.ensemble import evaluation
from extras.ensemble.evaluation import evaluate_ensemble, split_reviews
from extras.ensemble.members import Member
from sentiment.padding import shuffle_orders
from sentiment.serving.ensemble_classifier import EnsembleClassifier
from sentiment.serving.text_classifier import log_odds
from sentiment.tokenizer import Reviews
from tests.networks import network_classifier, untrained_network
from workflow.params import Params

WORDS = ["", "good", "dull", "film", "plot"]


def member(run_id: str, validation_split: float, seconds: float = 1) -> Member:
    """Return a member of half of the weight that was trained for some seconds."""
    training = EvaluatedRun(
        run_id=run_id,
        name=run_id,
        params={"train.validation_split": validation_split},
        predictions=pd.DataFrame(),
        cost={"training_seconds": seconds, "parameters": 100, "milliseconds_per_review": 1},
    )
    return Member(training, 0.5)


def random_reviews(count: int, seed: int) -> Reviews:
    """Return reviews of one to eight words. Half of them are positive."""
    rng = np.random.default_rng(seed)
    texts = [rng.integers(1, 5, rng.integers(1, 9)).tolist() for _ in range(count)]
    return Reviews.from_lists(texts, np.arange(count) % 2)


def test_no_member_was_trained_on_the_validation_set() -> None:
    train = random_reviews(20, seed=0)
    test = random_reviews(10, seed=1)
    members = [member("lstm", 0.2), member("gru", 0.4)]
    dataset = split_reviews(train, test, members)
    order, test_order = shuffle_orders(20, 10)
    np.testing.assert_array_equal(dataset.train_order, order[:12])
    np.testing.assert_array_equal(dataset.val_order, order[16:])
    np.testing.assert_array_equal(dataset.test.order, test_order)
    np.testing.assert_array_equal(dataset.test.y, test.labels[test_order])


@pytest.mark.slow
@pytest.mark.usefixtures("backend")
def test_metrics_are_those_of_the_mean_of_an_lstm_and_a_gru_of_other_lengths(
    default_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "REVIEWS_PER_CHUNK", 7)
    lstm = network_classifier(untrained_network(max_length=6, seed=1, cell="lstm"))
    gru = network_classifier(untrained_network(max_length=3, seed=2, cell="gru"))
    members = [member("lstm", 0.25, seconds=3), member("gru", 0.25, seconds=4)]
    train = random_reviews(40, seed=0)
    test = random_reviews(20, seed=1)
    dataset = split_reviews(train, test, members)
    result = evaluate_ensemble(
        EnsembleClassifier([lstm, gru], [0.5, 0.5]).predict_probability,
        members,
        dataset,
        WORDS,
        "imdb",
        "ensemble",
        default_params.evaluate,
    )

    def expected(reviews: Reviews, order: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean of both networks' log-odds for these reviews."""
        texts = [reviews[position].tolist() for position in order]
        return 0.5 * (
            log_odds(lstm.predict_probability(texts)) + log_odds(gru.predict_probability(texts))
        )

    table = result.evaluation.tables["predictions"]
    probabilities = table["probability"].to_numpy()
    odds = expected(test, dataset.test.order)
    np.testing.assert_allclose(log_odds(probabilities), odds, atol=1e-5)
    is_right = (odds > 0) == dataset.test.y
    assert result.evaluation.metrics["test_accuracy"] == pytest.approx(is_right.mean())
    assert result.cost["parameters"] == 200
    (row,) = result.history.to_dict("records")
    assert (row["epoch"], row["seconds"]) == (1, 7)
    for prefix, order in (("", dataset.train_order), ("val_", dataset.val_order)):
        odds = expected(train, order)
        labels = train.labels[order]
        assert row[f"{prefix}accuracy"] == pytest.approx(((odds > 0) == labels).mean())
        loss = np.log1p(np.exp(np.where(labels, -odds, odds))).mean()
        assert row[f"{prefix}loss"] == pytest.approx(loss, abs=1e-5)
