import numpy as np
import pytest

from sentiment.serving.text_classifier import log_odds


def test_log_odds_are_finite_even_for_certain_predictions() -> None:
    probabilities = np.array([0, 0.5, 0.75, 1], np.float32)
    low, *middle, high = log_odds(probabilities)
    assert middle == pytest.approx([0, np.log(3)])
    assert -20 < low < -15
    assert high == pytest.approx(-low)
