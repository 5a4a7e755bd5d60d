"""An alarm is a difference beyond chance and beyond the smallest one that matters."""

import numpy as np
import pandas as pd
import pytest

from extras.monitor.drift import MIN_EFFECTS, measure_drift, quantities


def draw(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return `quantities` of random texts."""
    words = rng.integers(1, 200, count)
    probability = rng.beta(0.3, 0.3, count)
    predicted = np.where(probability > 0.5, "positive", "negative")
    predictions = {"words": words, "unknown_words": rng.binomial(words, 0.1)}
    probabilities = {"probability_positive": probability, "predicted": predicted}
    return quantities(pd.DataFrame({**predictions, **probabilities}))


def test_quantities_are_those_of_each_text() -> None:
    predictions = {"words": [4, 0], "unknown_words": [1, 0]}
    probabilities = {"probability_positive": [0.7, 0.2], "predicted": ["positive", "negative"]}
    table = pd.DataFrame({**predictions, **probabilities})
    assert quantities(table).to_dict("list") == {
        "words": [4, 0],
        "unknown_share": [0.25, 0],
        "probability": [0.7, 0.2],
        "positive": [1, 0],
    }


def test_z_is_the_difference_in_standard_errors(rng: np.random.Generator) -> None:
    current = draw(500, rng)
    reference = draw(2000, rng)
    words = measure_drift(current, reference).loc["words"]
    difference = current["words"].mean() - reference["words"].mean()
    error = np.sqrt(reference["words"].var() / 500 + reference["words"].var() / 2000)
    assert words["z"] == pytest.approx(difference / error)
    assert words["limit"] == pytest.approx(max(3.480756 * error, 0.1 * reference["words"].mean()))
    assert not words["alarm"]


@pytest.mark.parametrize("changed", MIN_EFFECTS)
def test_change_of_one_quantity_is_an_alarm_of_this_one(
    changed: str, rng: np.random.Generator
) -> None:
    reference = draw(5000, rng)
    current = draw(3000, rng)
    current[changed] += 0.3 * reference[changed].mean()
    alarms = measure_drift(current, reference)["alarm"]
    assert alarms.index[alarms].tolist() == [changed]


def test_tiny_change_of_many_texts_is_no_alarm(rng: np.random.Generator) -> None:
    reference = draw(200_000, rng)
    drift = measure_drift(reference * 1.01, reference)
    assert (drift["z"] > 3).any()
    assert not drift["alarm"].any()


def test_change_from_a_test_set_that_does_not_vary_is_an_alarm(rng: np.random.Generator) -> None:
    current = draw(100, rng)
    drift = measure_drift(current, current.assign(unknown_share=0.0))
    assert drift.loc["unknown_share", "alarm"]
