"""An ensemble of networks predicts by the weighted mean of their log-odds."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sentiment.network.model import save_model
from sentiment.serving.ensemble_classifier import EnsembleClassifier
from sentiment.serving.keras_classifier import KerasClassifier
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.serving.text_classifier import log_odds
from sentiment.tokenizer import Word
from tests.networks import BATCH_SIZE, network_classifier, untrained_network
from workflow import files
from workflow.registry import packaging

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
RANKS = {"good": 1, "dull": 2, "film": 3, "plot": 4}
WEIGHTS = [0.75, 0.25]
TEXT = [1, 3, 2, 4, 1]  # five words, of which the GRU reads the last three


@pytest.fixture(scope="module")
def members(backend: None) -> list[KerasClassifier]:  # noqa: ARG001
    """Return a GRU that reads three tokens, and an LSTM that reads six."""
    gru = untrained_network(max_length=3, seed=1, cell="gru")
    lstm = untrained_network(max_length=6, seed=2, cell="lstm")
    return [network_classifier(gru), network_classifier(lstm)]


@pytest.fixture
def ensemble(members: list[KerasClassifier]) -> EnsembleClassifier:
    return EnsembleClassifier(members, WEIGHTS)


def mean_log_odds(gru: NDArray[np.float32], lstm: NDArray[np.float32]) -> NDArray[np.number]:
    return 0.75 * log_odds(gru) + 0.25 * log_odds(lstm)


def test_log_odds_are_the_weighted_mean_of_the_members(
    ensemble: EnsembleClassifier, members: list[KerasClassifier]
) -> None:
    texts = [TEXT, TEXT[:1], []]
    gru, lstm = (member.predict_probability(texts) for member in members)
    assert np.abs(log_odds(gru) - log_odds(lstm)).min() > 0.01
    predicted = log_odds(ensemble.predict_probability(texts))
    np.testing.assert_allclose(predicted, mean_log_odds(gru, lstm), atol=1e-5)


def test_prefix_prediction_is_the_prediction_for_the_prefix(ensemble: EnsembleClassifier) -> None:
    words = [Word(0, 0, rank) for rank in TEXT]
    positions = np.array([1, 4])
    np.testing.assert_array_equal(
        ensemble.predict_prefixes(words, positions),
        ensemble.predict_probability([TEXT[:2], TEXT]),
    )


def test_word_that_a_member_does_not_read_changes_only_the_other_members(
    ensemble: EnsembleClassifier, members: list[KerasClassifier]
) -> None:
    words = [Word(0, 0, rank) for rank in TEXT]
    gru, lstm = members
    assert gru.positions_read(words).tolist() == [2, 3, 4]
    assert ensemble.positions_read(words).tolist() == [0, 1, 2, 3, 4]
    whole, *without = gru.predict_without_each(words)
    expected = mean_log_odds(
        np.array([whole, whole, whole, *without]), lstm.predict_without_each(words)
    )
    predicted = log_odds(ensemble.predict_without_each(words))
    np.testing.assert_allclose(predicted, expected, atol=1e-5)


def test_text_is_predicted_by_all_members(members: list[KerasClassifier], tmp_path: Path) -> None:
    models = []
    for number, (member, weight) in enumerate(zip(members, WEIGHTS, strict=True)):
        path = tmp_path / f"{number}.keras"
        save_model(member.predictor.model, path)
        config = {"layout": asdict(member.layout), "batch_size": BATCH_SIZE}
        models.append(packaging.PackagedModel(path, config, weight))
    word_index = tmp_path / "word_index.json"
    files.write_json(word_index, RANKS)
    package = packaging.ModelPackage(models, word_index, threshold=0.5)
    served = SentimentModel()
    artifacts = packaging.write_artifacts(tmp_path, package)
    served.load({name: Path(path) for name, path in artifacts.items()})
    assert served.limits == (16, 5)  # the limits of the member that reads more
    table = served.predict(None, pd.DataFrame({"text": ["A good film", "dull"]}))
    gru, lstm = (member.predict_probability([[1, 3], [2]]) for member in members)
    expected = mean_log_odds(gru, lstm)
    np.testing.assert_allclose(log_odds(table["probability"].to_numpy()), expected, atol=1e-5)
    assert table["label"].tolist() == ["positive" if odds > 0 else "negative" for odds in expected]
