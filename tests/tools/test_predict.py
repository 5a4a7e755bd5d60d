"""`make predict` shows a prediction and its largest attributions, as JSON or as a table."""

import pytest

from sentiment.explanation import Explanation, WordAttribution
from tools import predict

TEXT = "a fine, fine film"
EXPLANATION = Explanation(
    label="positive",
    probability=0.75,
    words=[
        WordAttribution(0, 1, -0.25),
        WordAttribution(2, 6, 1.5),
        WordAttribution(8, 12, 0.0),
        WordAttribution(13, 17, -2.0),
    ],
)


def explain_test_text(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Explain the text as by a model with the attributions above."""
    monkeypatch.setattr(predict, "explain", lambda *_: EXPLANATION)
    return predict.explain_prediction(None, TEXT)  # type: ignore[arg-type]


def test_prediction_has_the_largest_attributions_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain_test_text(monkeypatch) == {
        "text": TEXT,
        "label": "positive",
        "probability": 0.75,
        "words": [
            {"word": "film", "log_odds": -2.0},
            {"word": "fine", "log_odds": 1.5},
            {"word": "a", "log_odds": -0.25},
        ],
    }


def test_table_shows_the_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    header, row = predict.format_prediction(explain_test_text(monkeypatch)).splitlines()
    assert header.split() == "label probability text words that matter most".split()
    assert row.startswith(f"positive      0.7500  {TEXT} ")
    assert row.endswith("  film -2.00, fine +1.50, a -0.25")
    assert row.index("film -2.00") == header.index("words that")


def test_table_shows_a_long_text_cut_and_in_one_line() -> None:
    prediction = {
        "text": "so dull\n" + "x" * 100,
        "label": "negative",
        "probability": 0.0,
        "words": [{"word": "dull", "log_odds": -1.0}],
    }
    _, row = predict.format_prediction(prediction).splitlines()
    assert "so dull xxx" in row
    assert "x…  dull -1.00" in row
