"""Several models answer as one: the mean of their log-odds, word by word."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from extras.common import linear_reader
from extras.common.linear_reader import Linear
from extras.ensemble import ensemble_reader
from extras.ensemble.ensemble_reader import Ensemble, Member
from extras.ensemble.members import read_artifacts
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

    def gates(self, words: Sequence[Word]) -> None:
        """It has none."""


ALL, END = model(2, -1), Last(model(4, -3))
BOTH = Ensemble([Member(ALL, 0.75), Member(END, 0.25)])


def words_of(*ranks: int) -> list[Word]:
    return [Word(0, 0, rank) for rank in ranks]


def log_odds(*ranks: int) -> float:
    return float(classifier.log_odds(BOTH.answers([words_of(*ranks)]))[0])


def test_log_odds_are_the_weighted_mean() -> None:
    assert log_odds(1) == pytest.approx(0.75 * 2 + 0.25 * 4, abs=1e-5)
    assert log_odds(1, 2) == pytest.approx(0.75 * 1 + 0.25 * -3, abs=1e-5)
    assert log_odds() == 0


def test_a_certain_member_is_not_infinitely_so() -> None:
    certain = Ensemble([Member(model(500, 0), 0.5), Member(model(0, 0), 0.5)])
    (answer,) = certain.answers([words_of(1)])
    assert classifier.log_odds(answer) == pytest.approx(np.log(1 / classifier.LEAST) / 2, abs=1e-3)


def test_a_word_is_left_out_where_a_member_reads_it() -> None:
    words = words_of(1, 2, 1)
    np.testing.assert_array_equal(BOTH.places(words), [0, 1, 2])
    found = classifier.log_odds(BOTH.without_each(words))
    end = 0.25 * 4
    expected = [0.75 * 3 + end, 0.75 * 1 + end, 0.75 * 4 + end, 0.75 * 1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_words_that_no_member_reads_have_no_part() -> None:
    ends = Ensemble([Member(END, 0.5), Member(END, 0.5)])
    np.testing.assert_array_equal(ends.places(words_of(1, 2, 1)), [2])
    assert len(ends.without_each(words_of(1, 2, 1))) == 2


def test_each_step_is_the_answer_to_the_text_cut_there() -> None:
    words = words_of(1, 2, 1)
    answers = BOTH.after(words, BOTH.places(words))
    assert answers.tolist() == BOTH.answers([words[:1], words[:2], words]).tolist()


@pytest.fixture(params=["pre", "post"])
def mixed(
    request: pytest.FixtureRequest,
    small_params: Params,
    backend: None,  # noqa: ARG001
) -> Sentiment:
    """A network, which reads six tokens of a text, and a linear model, which reads all."""
    ask = Predictor(build_model(small_params.train, inputs(20, 6)), batch_size=16)
    read = replace(layout(small_params.pad), num_words=20, max_length=6, truncating=request.param)
    found = Sentiment()
    found.ranks, found.tokenizer, found.threshold = RANKS, KERAS, 0.5
    found.reader = Ensemble([Member(Network(ask, read), 0.5), Member(ALL, 0.5)])
    return found


@pytest.mark.parametrize("length", [0, 1, 5, 6, 7, 40])
def test_each_step_of_a_trace_is_the_answer_of_all_members_to_the_text_cut_there(
    mixed: Sentiment, rng: np.random.Generator, length: int
) -> None:
    content = " ".join(rng.choice([*RANKS], length))
    steps = trace(mixed, content)
    assert len(steps) == length
    cut = pd.DataFrame({"text": [content[: step.end] for step in steps]})
    answers = mixed.predict(None, cut)["probability"]
    assert [step.probability for step in steps] == answers.tolist()


def test_a_trace_asks_no_member_about_all_words_before_each(
    mixed: Sentiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def count(answers: Callable[..., NDArray[np.float32]]) -> Callable[..., NDArray[np.float32]]:
        def counted(reader: object, texts: Sequence[Sequence[Word]]) -> NDArray[np.float32]:
            asked.extend(map(len, texts))
            return answers(reader, texts)

        return counted

    for kind in (Linear, Network, Ensemble):
        monkeypatch.setattr(kind, "answers", count(kind.answers))
    assert len(trace(mixed, "good dull " * 50)) == 100
    assert max(asked) == 6  # what the network reads of each


@pytest.fixture
def served(tmp_path: Path) -> Sentiment:
    """An ensemble of two linear models, by its files."""
    models = []
    for number, fitted in enumerate([model(2, -1), model(4, -3)], 1):
        path = tmp_path / f"{number}.npz"
        models.append(packaging.Model(path, {}, number / 3, linear_reader.READER))
        np.savez(path, **asdict(fitted))
    index = tmp_path / "word_index.json"
    files.write_json(index, RANKS)
    artifacts = packaging.write_artifacts(
        tmp_path, packaging.Parts(models, index, 0.5, reader=ensemble_reader.READER)
    )
    found = Sentiment()
    found.load({name: Path(path) for name, path in artifacts.items()})
    return found


def test_text_is_served_by_all_members(served: Sentiment) -> None:
    table = served.predict(None, pd.DataFrame({"text": ["A good film", "dull"]}))
    expected = [(2 + 2 * 4) / 3, (-1 + 2 * -3) / 3]
    np.testing.assert_allclose(
        classifier.log_odds(table["probability"].to_numpy()), expected, atol=1e-5
    )
    assert table["label"].tolist() == ["positive", "negative"]


def test_the_files_name_members_and_weights_again(served: Sentiment, tmp_path: Path) -> None:
    assert isinstance(served.reader, Ensemble)
    models, index = read_artifacts(tmp_path)
    assert index == tmp_path / "word_index.json"
    assert [(each.path.name, each.settings, each.weight) for each in models] == [
        ("1.npz", {}, 1 / 3),
        ("2.npz", {}, 2 / 3),
    ]
    assert {each.reader for each in models} == {linear_reader.READER}


def test_files_that_were_registered_before_ensembles_are_read(
    served: Sentiment, tmp_path: Path
) -> None:
    assert served.reader
    path = tmp_path / "settings.json"
    settings = files.read_json(path)
    known = {name: settings["files"][name] for name in ("1.npz", "word_index.json")}
    files.write_json(path, {"threshold": 0.5, "files": known, "batch_size": 4, "layout": {}})
    ((model,), _) = read_artifacts(tmp_path)
    settings = {"batch_size": 4, "layout": {}}
    assert model == packaging.Model(tmp_path / "1.npz", settings, 1.0, linear_reader.READER)
