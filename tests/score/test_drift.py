"""An alarm is a difference of the means beyond chance, and beyond the smallest that matters."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.score.false_alarms import KINDS, WINDOWS, count_alarms, draw_predictions
from sentiment.score import drift
from sentiment.score.drift import PROBABILITY, UNKNOWN, WORDS, Quantities, measure_drift, quantities

KIND = KINDS["40 words"]
SHARE = "share predicted as label 1"


def describe(values: pd.DataFrame) -> Quantities:
    """Return texts, given by their `quantities`."""
    return Quantities(len(values), values.mean(), values)


def alarms(here: Quantities, test_set: pd.DataFrame) -> list[str]:
    found = measure_drift(here, test_set)["alarm"]
    return [str(name) for name in found.index[found]]


def test_quantities_are_those_of_each_text() -> None:
    predictions = {
        "predicted": ["good", "bad"],
        "probability_bad": [0.25, 0.875],
        "probability_good": [0.75, 0.125],
        "words": [4, 0],
        "unknown_words": [1, 0],
    }
    assert quantities(pd.DataFrame(predictions)).to_dict("list") == {
        WORDS: [4, 0],
        UNKNOWN: [0.25, 0],
        PROBABILITY: [0.75, 0.875],
        "share predicted as good": [1, 0],
    }


def test_each_of_several_labels_has_its_share(rng: np.random.Generator) -> None:
    values = quantities(draw_predictions(KINDS["40 words, five labels"], 10, rng))
    shares = [f"share predicted as label {number}" for number in range(5)]
    assert [*values] == [WORDS, UNKNOWN, PROBABILITY, *shares]
    assert (values[shares].sum(axis=1) == 1).all()


@pytest.mark.parametrize("changed", [WORDS, UNKNOWN, PROBABILITY, SHARE])
def test_change_of_one_mean_is_an_alarm_of_this_one(changed: str, rng: np.random.Generator) -> None:
    test_set = draw_predictions(KIND, 5000, rng)
    here = quantities(draw_predictions(KIND, 3000, rng))
    here[changed] *= 1.5
    assert alarms(describe(here), test_set) == [changed]


def test_difference_that_is_certain_but_does_not_matter_is_no_alarm(
    rng: np.random.Generator,
) -> None:
    test_set = draw_predictions(KIND, 50_000, rng)
    found = measure_drift(describe(quantities(test_set) * 1.02), test_set)
    assert found["p"][PROBABILITY] < 1e-9
    assert not found["alarm"].any()


@pytest.mark.parametrize(("texts", "is_alarm"), [(99, False), (100, True)])
def test_fewer_than_a_hundred_texts_raise_no_alarm(
    texts: int, is_alarm: bool, rng: np.random.Generator
) -> None:
    test_set = draw_predictions(KIND, 1000, rng)
    here = quantities(draw_predictions(KIND, texts, rng)) + 10
    assert bool(alarms(describe(here), test_set)) == is_alarm


def test_the_p_value_of_two_texts_is_exact(rng: np.random.Generator) -> None:
    """Both are longer than all 1,000 of the test set: 2 in 1,002 * 1,001 / 2 orders, two-sided."""
    test_set = draw_predictions(KIND, 1000, rng)
    here = quantities(draw_predictions(KIND, 2, rng)) + 1e6
    assert measure_drift(describe(here), test_set)["p"][WORDS] == pytest.approx(4 / 1002 / 1001)


def test_change_from_a_test_set_that_does_not_vary_is_an_alarm(rng: np.random.Generator) -> None:
    here = draw_predictions(KIND, 100, rng)
    test_set = here.assign(unknown_words=0)
    assert alarms(describe(quantities(here)), test_set) == [UNKNOWN]


def test_means_are_those_of_all_texts_though_some_are_tested(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "MAX_TESTED", 100)
    tables = [draw_predictions(KIND, size, rng) for size in (150, 100)]
    texts = drift.summarize(tables, 250)
    assert texts.text_count == 250
    assert texts.means[WORDS] == pytest.approx(pd.concat(tables)["words"].mean())
    assert len(texts.tested) == 84  # every third


def test_unchanged_texts_raise_hardly_any_alarm() -> None:
    """Also few texts with some very long ones, where a test of the means would raise 1 %."""
    test_sets = 40
    kind = KINDS["40 words, some of them very long"]
    assert count_alarms(kind, 500, 100, test_sets) <= 0.005 * WINDOWS * test_sets
