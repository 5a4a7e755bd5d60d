"""Texts are predicted in parts, and each has one row with the probabilities of all labels."""

from collections.abc import Sequence

import pytest

from extras.common import predicted_texts
from sentiment.prediction.pyfunc_model import Prediction


class CountingModel:
    """A model that predicts by the number of words, and remembers the sizes of its calls."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict_texts(self, texts: Sequence[str]) -> list[Prediction]:
        self.sizes.append(len(texts))
        return [
            Prediction(
                label="positive",
                probability=1 - 1 / (8 + words),
                probabilities={"negative": 1 / (8 + words), "positive": 1 - 1 / (8 + words)},
                words=words,
                unknown_words=words // 2,
                truncated=False,
            )
            for words in (len(text.split()) for text in texts)
        ]


def test_each_text_has_a_row_though_it_is_predicted_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predicted_texts, "PART_TEXTS", 2)
    model = CountingModel()
    texts = ["", "one", "one two", "one two three", "one two three four"]
    table = predicted_texts.predict_texts(model, texts)  # type: ignore[arg-type]
    assert model.sizes == [2, 2, 1]
    assert table["text"].tolist() == texts
    assert table["words"].tolist() == [0, 1, 2, 3, 4]
    assert table["unknown_words"].tolist() == [0, 0, 1, 1, 2]
    assert table["predicted"].tolist() == ["positive"] * 5
    negative = table["probability_negative"].tolist()
    assert negative == pytest.approx([1 / 8, 1 / 9, 1 / 10, 1 / 11, 1 / 12])
    assert table["probability_positive"].tolist() == pytest.approx([1 - each for each in negative])
