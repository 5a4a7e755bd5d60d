"""Texts are predicted in parts, and each has one row with the probabilities of all labels."""

import pytest

from extras.common import predicted_texts
from tests.extras.serve.stub_model import StubModel


def test_each_text_has_a_row_though_it_is_predicted_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predicted_texts, "PART_TEXTS", 2)
    model = StubModel()
    texts = ["a", "dull", "a fine film", "zzzunheard of", ""]
    table = predicted_texts.predict_texts(model, texts)  # type: ignore[arg-type]
    expected = [model.predict_text(text) for text in texts]
    assert table["text"].tolist() == texts
    assert table["predicted"].tolist() == [row.label for row in expected]
    assert table["words"].tolist() == [row.words for row in expected]
    assert table["unknown_words"].tolist() == [row.unknown for row in expected]
    for label in ("negative", "positive"):
        probabilities = [row.probabilities[label] for row in expected]
        assert table[f"probability_{label}"].tolist() == probabilities
    assert [len(batch) for batch in model.batches] == [2, 2, 1]
