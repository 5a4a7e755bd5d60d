"""An ensemble predicts by the mean of its members' log-odds."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.serving import pyfunc_model
from sentiment.serving.ensemble_classifier import EnsembleClassifier
from sentiment.serving.linear_classifier import LinearClassifier
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import Word
from workflow import files
from workflow.registry import packaging

RANKS = {"good": 1, "dull": 2, "film": 3}


def model(good: float, dull: float) -> LinearClassifier:
    """It knows two words."""
    keys, ones, bias = np.array([1, 2]), np.ones(2, np.float32), np.array(0, np.float32)
    weights = np.array([good, dull], np.float32)
    return LinearClassifier(keys, ones, weights, bias, np.array(True), np.array(False))


class Last:
    """A classifier that reads only the last word, like a network of one token."""

    def __init__(self, whole: LinearClassifier) -> None:
        self.whole = whole

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return self.whole.predict_probability([text[-1:] for text in texts])

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        return np.arange(len(words))[-1:]

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        return self.whole.predict_without_each(words[-1:])

    def predict_prefixes(
        self, words: Sequence[Word], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return self.predict_probability([[words[place].rank] for place in places])


def test_log_odds_are_the_weighted_mean_of_the_members() -> None:
    both = EnsembleClassifier([model(2, -1), Last(model(4, -3))], [0.75, 0.25])
    ranks = [1, 2, 1]
    end = 0.25 * 4
    words = [Word(0, 0, rank) for rank in ranks]
    odds = pyfunc_model.log_odds(both.predict_probability([ranks, ranks[:2], []]))
    np.testing.assert_allclose(odds, [0.75 * 3 + end, 0.75 - 0.25 * 3, 0], atol=1e-5)
    np.testing.assert_array_equal(both.positions_read(words), [0, 1, 2])
    np.testing.assert_array_equal(
        both.predict_prefixes(words, np.array([1, 2])), both.predict_probability([ranks[:2], ranks])
    )
    effects = pyfunc_model.log_odds(both.predict_without_each(words))
    expected = [0.75 * 3 + end, 0.75 * 1 + end, 0.75 * 4 + end, 0.75 * 1]
    np.testing.assert_allclose(effects, expected, atol=1e-5)
    (certain,) = EnsembleClassifier([model(500, 0), model(0, 0)], [0.5, 0.5]).predict_probability(
        [ranks[:1]]
    )
    assert 0.99 < certain < 1  # and not infinitely so


def test_text_is_predicted_by_all_members(tmp_path: Path) -> None:
    models = []
    for number, fitted in enumerate([model(2, -1), model(4, -3)], 1):
        path = tmp_path / f"{number}.npz"
        models.append(packaging.PackagedModel(path, {}, number / 3, "linear_classifier"))
        np.savez(path, **asdict(fitted))
    index = tmp_path / "word_index.json"
    files.write_json(index, RANKS)
    parts = packaging.ModelPackage(models, index, 0.5, classifier="ensemble_classifier")
    served = SentimentModel()
    artifacts = packaging.write_artifacts(tmp_path, parts)
    served.load({name: Path(path) for name, path in artifacts.items()})
    table = served.predict(None, pd.DataFrame({"text": ["A good film", "dull"]}))
    odds = pyfunc_model.log_odds(table["probability"].to_numpy())
    np.testing.assert_allclose(odds, [(2 + 2 * 4) / 3, (-1 + 2 * -3) / 3], atol=1e-5)
    assert table["label"].tolist() == ["positive", "negative"]
