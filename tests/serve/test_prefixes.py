"""The page of the server shows the prediction after each word."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from sentiment.serve.prefixes import predict_prefixes
from sentiment.text.padding import Layout
from tests.models import text_model

pytestmark = pytest.mark.slow
RANKS = {"a": 1, "fine": 2, "dull": 3, "film": 4, "rare": 90}
LAYOUT = Layout(num_words=20, max_length=6, padding="pre", truncating="pre")


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("text", ["Well: a FINE film, rare", "dull dull a fine film a rare film"])
def test_each_prediction_is_that_of_the_text_up_to_the_word(
    text: str, padding: Any, truncating: Any
) -> None:
    model = text_model(RANKS, replace(LAYOUT, padding=padding, truncating=truncating))
    words = model.known_words(text)
    ends = [words[position].end for position in model.classifier.positions_read(words)]
    cut = pd.DataFrame({"text": [text[:end] for end in ends]})
    expected = [list(row.values()) for row in model.predict(None, cut)["probabilities"]]
    assert predict_prefixes(model, text).tolist() == expected


def test_a_text_without_known_words_has_no_prefixes() -> None:
    assert len(predict_prefixes(text_model(RANKS, LAYOUT), "unheard of")) == 0
