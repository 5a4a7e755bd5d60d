"""Several models answer as one: the mean of their log-odds, word by word."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from extras.common import linear_reader
from extras.common.linear_reader import Linear
from extras.ensemble import ensemble_reader
from extras.ensemble.ensemble_reader import Ensemble
from sentiment.explanation import trace
from sentiment.network.model import build_model
from sentiment.padding import layout
from sentiment.serving import classifier
from sentiment.serving.classifier import Sentiment
from sentiment.serving.keras_reader import Network, Predictor
from sentiment.text import KERAS, Word
from tests.conftest import inputs
from workflow import files
from workflow.params import Params
from workflow.registry import packaging

RANKS = {"good": 1, "dull": 2, "film": 3}


def model(good: float, dull: float) -> Linear:
    """It knows two words."""
    return Linear(
        np.array([1, 2]),
        np.ones(2, np.float32),
        np.array([good, dull], np.float32),
        np.array(0, np.float32),
        np.array(True),
        np.array(False),
    )


class Last:
    """A reader that reads the last word alone, as a network of one token does."""

    def __init__(self, whole: Linear) -> None:
        self.whole = whole

    def answers(self, texts: Sequence[Sequence[Word]]) -> NDArray[np.float32]:
        return self.whole.answers([text[-1:] for text in texts])

    def places(self, words: Sequence[Word]) -> NDArray[np.int64]:
        return np.arange(len(words))[-1:]

    def without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        return self.whole.without_each(words[-1:])

    def after(self, words: Sequence[Word], places: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.answers([words[: place + 1] for place in places])


ALL, END = model(2, -1), Last(model(4, -3))
BOTH = Ensemble([ALL, END], [0.75, 0.25])


def words_of(*ranks: int) -> list[Word]:
    return [Word(0, 0, rank) for rank in ranks]


def log_odds(*ranks: int) -> float:
    return float(classifier.log_odds(BOTH.answers([words_of(*ranks)]))[0])


def test_log_odds_are_the_weighted_mean() -> None:
    assert log_odds(1) == pytest.approx(0.75 * 2 + 0.25 * 4, abs=1e-5)
    assert log_odds(1, 2) == pytest.approx(0.75 * 1 + 0.25 * -3, abs=1e-5)
    assert log_odds() == 0


def test_a_certain_member_is_not_infinitely_so() -> None:
    certain = Ensemble([model(500, 0), model(0, 0)], [0.5, 0.5])
    (answer,) = certain.answers([words_of(1)])
    assert classifier.log_odds(answer) == pytest.approx(np.log(1 / classifier.LEAST) / 2, abs=1e-3)


def test_a_word_is_left_out_where_a_member_reads_it() -> None:
    words, end = words_of(1, 2, 1), 0.25 * 4
    np.testing.assert_array_equal(BOTH.places(words), [0, 1, 2])
    effects = classifier.log_odds(BOTH.without_each(words))
    expected = [0.75 * 3 + end, 0.75 * 1 + end, 0.75 * 4 + end, 0.75 * 1]
    np.testing.assert_allclose(effects, expected, atol=1e-5)


def test_words_that_no_member_reads_have_no_part() -> None:
    ends = Ensemble([END, END], [0.5, 0.5])
    np.testing.assert_array_equal(ends.places(words_of(1, 2, 1)), [2])
    assert len(ends.without_each(words_of(1, 2, 1))) == 2


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_each_step_of_a_trace_is_the_answer_of_all_members_to_the_text_cut_there(
    truncating: str, small_params: Params, rng: np.random.Generator
) -> None:
    """A network reads six tokens of a text, and a linear model all."""
    ask = Predictor(build_model(small_params.train, inputs(20, 6)), batch_size=16)
    changes: dict[str, Any] = {"num_words": 20, "max_length": 6, "truncating": truncating}
    network = Network(ask, replace(layout(small_params.pad), **changes))
    mixed = Sentiment()
    mixed.ranks, mixed.tokenizer, mixed.threshold = RANKS, KERAS, 0.5
    mixed.reader = Ensemble([network, ALL], [0.5, 0.5])
    for length in (0, 1, 5, 6, 7, 40):
        content = " ".join(rng.choice([*RANKS], length))
        steps = trace(mixed, content)
        assert len(steps) == length
        cut = pd.DataFrame({"text": [content[: step.end] for step in steps]})
        answers = mixed.predict(None, cut)["probability"]
        assert [step.probability for step in steps] == answers.tolist()


def test_a_trace_asks_no_linear_member_about_all_words_before_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Linear, "answers", refuse)
    assert len(Ensemble([ALL, ALL], [0.5, 0.5]).after(words_of(1, 2), np.arange(2))) == 2


def test_text_is_served_by_all_members(tmp_path: Path) -> None:
    models = []
    for number, fitted in enumerate([model(2, -1), model(4, -3)], 1):
        path = tmp_path / f"{number}.npz"
        models.append(packaging.Model(path, {}, number / 3, linear_reader.READER))
        np.savez(path, **asdict(fitted))
    index = tmp_path / "word_index.json"
    files.write_json(index, RANKS)
    parts = packaging.Parts(models, index, 0.5, reader=ensemble_reader.READER)
    served = Sentiment()
    artifacts = packaging.write_artifacts(tmp_path, parts)
    served.load({name: Path(path) for name, path in artifacts.items()})
    table = served.predict(None, pd.DataFrame({"text": ["A good film", "dull"]}))
    odds = classifier.log_odds(table["probability"].to_numpy())
    np.testing.assert_allclose(odds, [(2 + 2 * 4) / 3, (-1 + 2 * -3) / 3], atol=1e-5)
    assert table["label"].tolist() == ["positive", "negative"]
