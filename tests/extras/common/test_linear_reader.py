import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from extras.common import linear_reader
from extras.common.linear_reader import Linear
from sentiment.explanation import explain, trace
from sentiment.serving.classifier import Sentiment
from tests.project import run_code
from workflow import files
from workflow.registry import packaging

RANKS = {"not": 1, "good": 2, "film": 3, "unheard": 9}
NOT_GOOD = (1 << linear_reader.BIGRAM_BITS) + 2


def model(counted: bool = True, normalized: bool = False) -> Linear:
    """It knows the words `not` and `good`, and the bigram `not good`."""
    return Linear(
        np.array([1, 2, NOT_GOOD]),
        np.array([1, 1, 2], np.float32),
        np.array([-0.5, 2, -3], np.float32),
        np.array(0.25, np.float32),
        np.array(counted),
        np.array(normalized),
    )


def log_odds(fitted: Linear, *ranks: int) -> float:
    (probability,) = fitted.probabilities([np.array(ranks, np.int64)])
    return float(np.log(probability / (1 - probability)))


def test_log_odds_are_the_sum_of_words_and_bigrams() -> None:
    assert log_odds(model(), 1, 3, 2) == pytest.approx(0.25 - 0.5 + 2, abs=1e-5)
    assert log_odds(model(), 1, 2) == pytest.approx(0.25 - 0.5 + 2 + 2 * -3, abs=1e-5)
    assert log_odds(model(), 3) == pytest.approx(0.25, abs=1e-5)
    assert log_odds(model()) == pytest.approx(0.25, abs=1e-5)


def test_a_word_that_occurs_twice_counts_twice_or_once() -> None:
    assert log_odds(model(), 2, 3, 2) == pytest.approx(4.25, abs=1e-5)
    assert log_odds(model(counted=False), 2, 3, 2) == pytest.approx(2.25, abs=1e-5)


def test_values_are_divided_by_their_norm() -> None:
    expected = 0.25 + (2 * 2 - 0.5) / math.sqrt(2 * 2 + 1)
    assert log_odds(model(normalized=True), 2, 3, 2, 3, 1) == pytest.approx(expected, abs=1e-5)


def test_a_rank_beyond_the_last_feature_is_unknown() -> None:
    assert log_odds(model(), 9, 88_000) == pytest.approx(0.25, abs=1e-5)


@pytest.fixture(params=[(True, True), (False, False)])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Sentiment:
    kept = packaging.Model(tmp_path / linear_reader.FILE, {}, reader=linear_reader.READER)
    parts = packaging.Parts([kept], tmp_path / "word_index.json", threshold=0.5)
    np.savez(kept.path, **asdict(model(*request.param)))
    files.write_json(parts.words, RANKS)
    artifacts = packaging.write_artifacts(tmp_path, parts)
    found = Sentiment()
    found.load_context(SimpleNamespace(artifacts=artifacts))  # type: ignore[arg-type]
    return found


def answers(served: Sentiment, *texts: str) -> list[float]:
    return list(served.predict(None, pd.DataFrame({"text": texts}))["probability"])


def test_text_is_served_as_the_model_answers_it(served: Sentiment) -> None:
    assert isinstance(served.reader, Linear)
    expected = served.reader.probabilities([np.array([1, 2, 3]), np.array([2])])
    assert answers(served, "NOT good; a film", "Good!") == expected.tolist()
    table = served.predict(None, pd.DataFrame({"text": ["not good", "good"]}))
    assert table["label"].tolist() == ["negative", "positive"]


def test_a_word_s_part_in_the_answer_is_what_is_lost_without_it_and_its_bigrams(
    served: Sentiment,
) -> None:
    words = explain(served, "not good film not good").words
    whole, first, last = answers(
        served, "not good film not good", "x good film not good", "not good film not x"
    )
    odds = np.log(np.array([whole, first, last]) / (1 - np.array([whole, first, last])))
    assert words[0].log_odds == pytest.approx(odds[0] - odds[1], abs=1e-5)
    assert words[4].log_odds == pytest.approx(odds[0] - odds[2], abs=1e-5)
    assert words[2].log_odds == pytest.approx(0, abs=1e-6)
    assert [word.start for word in words] == [0, 4, 9, 14, 18]


def test_each_step_of_a_trace_is_the_answer_to_the_text_cut_there(
    served: Sentiment, rng: np.random.Generator
) -> None:
    content = "not good, a film not good " + " ".join(rng.choice([*RANKS, "unknown"], 100))
    steps = trace(served, content)
    assert [step.probability for step in steps] == answers(
        served, *(content[: step.end] for step in steps)
    )


def test_a_text_without_known_words_is_answered(served: Sentiment) -> None:
    assert answers(served, "") == pytest.approx([1 / (1 + math.exp(-0.25))])
    assert answers(served, "quite unknown") == answers(served, "")
    assert not explain(served, "").words
    assert not trace(served, "")


def test_a_word_costs_the_same_however_long_its_text_is(
    served: Sentiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[int] = []
    change = linear_reader.Tally._change

    def counted(tally: linear_reader.Tally, feature: int, by: int) -> None:
        changes.append(feature)
        change(tally, feature, by)

    monkeypatch.setattr(linear_reader.Tally, "_change", counted)

    def of_a_word(words: int) -> float:
        changes.clear()
        text = " ".join(["not good film"] * (words // 3))
        assert len(explain(served, text).words) == len(trace(served, text)) == words
        return len(changes) / words

    assert of_a_word(3000) == pytest.approx(of_a_word(300), rel=0.01)


def test_it_is_served_without_tensorflow(tmp_path: Path) -> None:
    np.savez(tmp_path / linear_reader.FILE, **asdict(model()))
    code = """
import sys
from pathlib import Path
from extras.common import linear_reader
from sentiment.serving import classifier
model, paths = {"file": "m"}, {"m": Path(sys.argv[1])}
print(linear_reader.load(model, paths).answers([[]]), {"tensorflow", "keras"} & {*sys.modules})
"""
    done = run_code(code, str(tmp_path / linear_reader.FILE))
    assert done.stdout == "[0.5621765] set()\n", done.stderr
