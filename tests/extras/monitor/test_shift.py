"""An alarm is an effect beyond chance and beyond what anybody cares about."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from extras.monitor import shift
from extras.monitor.monitor_run import OPTIONS
from extras.monitor.shift import MonitorOptions
from sentiment import profile
from sentiment.tokenizer import ReadLimits, Reviews
from workflow.params import load_yaml

NAMES = [f"w{rank}" for rank in range(1, 3001)]


@pytest.fixture(scope="module")
def options() -> MonitorOptions:
    return load_yaml(MonitorOptions, Path(__file__).parents[3] / OPTIONS)


def draw(count: int, seed: int, words: int = 60, shift: int = 0) -> tuple[pd.DataFrame, list[Any]]:
    """Texts of some 60 words with the answers of a model, and their ranks."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 2 * words, count)
    texts = [(rng.zipf(1.3, length) + shift - 1) % 3000 + 1 for length in lengths]
    probability = rng.beta(0.4, 0.4, count)
    unknown = [np.mean(text > 2900) for text in texts]
    columns = {"words": lengths, "unknown": unknown, "truncated": lengths > 100}
    return pd.DataFrame({**columns, "probability": probability}).astype(float), texts


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The profile of 4,000 such texts, four fifths of whose answers are right."""
    seen, texts = draw(4000, seed=0)
    reviews = Reviews.from_lists([text.tolist() for text in texts], np.arange(4000) % 2)
    answers = np.where(seen["probability"] > 0.5, "positive", "negative")
    right = np.arange(4000) % 5 > 0
    table = pd.DataFrame({"probability": seen["probability"], "predicted": answers})
    table["actual"] = np.where(right, answers, "other")
    parts = {"train": reviews, "test": reviews}
    return {
        "threshold": 0.5,
        **profile.build_profile(parts, np.zeros(1), table, ReadLimits(2900, 100)),
    }


def alarms(table: pd.DataFrame) -> list[str]:
    return list(table.index[table["alarm"]])


def test_unchanged_texts_raise_no_alarm_however_many_they_are(
    described: dict[str, Any], options: MonitorOptions
) -> None:
    for seed, count in enumerate([100, 150, 300, 1000, 3000] * 8, 1):
        seen, texts = draw(count, seed)
        assert alarms(shift.effects(seen, texts, described, options)) == []


def test_chance_alone_is_exceeded_as_often_as_said(
    described: dict[str, Any], options: MonitorOptions
) -> None:
    floors = dict.fromkeys(options.floors, 0.0)
    often = options.model_copy(update={"false_alarms": 0.2, "floors": floors})
    windows = (draw(200, seed) for seed in range(1, 101))
    raised = sum(bool(alarms(shift.effects(*window, described, often))) for window in windows)
    assert 5 <= raised <= 30


def test_each_change_is_an_alarm_of_its_quantity(
    described: dict[str, Any], options: MonitorOptions
) -> None:
    seen, texts = draw(400, seed=1)

    def raised(words: list[Any] = texts, **changes: Any) -> set[str]:
        return {*alarms(shift.effects(seen.assign(**changes), words, described, options))}

    probability = seen["probability"]
    assert raised(probability=np.where(probability > 0.5, 0.99, 0.01)) == {"confidence"}
    assert "positive" in raised(probability=1 - probability / 2)
    assert raised(unknown=seen["unknown"] + 0.03) == {"unknown"}
    assert raised(draw(400, seed=1, shift=5)[1]) == {"word_use"}
    assert raised([], truncated=0.0) == {"truncated"}
    short, few = draw(400, seed=1, words=20)
    assert "words" in alarms(shift.effects(short, few, described, options))


@pytest.mark.parametrize(("count", "more", "limit"), [(3000, 0.045, "chance"), (100, 0.1, "floor")])
def test_what_is_beyond_only_one_limit_is_no_alarm(
    described: dict[str, Any], options: MonitorOptions, count: int, more: float, limit: str
) -> None:
    seen, texts = draw(count, seed=2)
    share = described["test"]["positive"][0] + more
    seen["probability"] = np.where(np.arange(count) < round(share * count), 0.9, 0.1)
    row = shift.effects(seen, texts, described, options).loc["positive"]
    assert row["effect"] > row[limit]
    assert not row["alarm"]


def test_the_words_that_moved_most_are_named_with_both_shares(described: dict[str, Any]) -> None:
    _, texts = draw(300, seed=1)
    spoken = [np.append(text[text != 2], 40) for text in texts]
    table = shift.moved(spoken, NAMES, described, 2).set_index("word")
    assert {*table.index} == {"w2", "w40"}
    assert table["found"]["w40"] == 1
    assert table["found"]["w2"] == 0
    assert table["expected"]["w2"] == pytest.approx(
        described["document_frequencies"]["counts"][1] / 4000
    )


def test_the_estimate_falls_with_the_confidence(described: dict[str, Any]) -> None:
    same = described["test"]["confidence"][0]
    assert shift.estimate(described, same - 0.1) == pytest.approx(described["accuracy"] - 0.1)


def test_a_range_has_chance_and_the_greatest_error_known(options: MonitorOptions) -> None:
    def ends(middle: float, texts: int, *errors: float, least: float = 0.1) -> Any:
        changed = options.model_copy(update={"least_error": least})
        found = shift.plausible(middle, texts, errors, changed)
        return found and pytest.approx(found, abs=0.001)

    assert ends(0.7, 10**6, 0.02) == (0.6, 0.8)
    assert ends(0.7, 10**6, 0.02, 0.14) == (0.56, 0.84)
    assert ends(0.95, 10**6, 0.02) == (0.85, 1)
    assert ends(0.7, 400, 0.02) == (0.7 - 0.1096, 0.7 + 0.1096)
    # too wide to say anything, or nobody knows how wide
    assert ends(0.7, 100, 0.02, least=0.145) is None
    assert ends(0.7, 10**6, 0.16) is None
    assert ends(0.7, 10**6) is None
