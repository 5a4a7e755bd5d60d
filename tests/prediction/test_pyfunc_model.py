"""The registered model predicts label and probability of raw texts."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from sentiment.model.saving import save_model
from sentiment.prediction.keras_classifier import BatchPredictor
from sentiment.prediction.pyfunc_model import Prediction, SentimentModel
from sentiment.text import tokenizer
from sentiment.text.model_files import (
    CONFIG_FILE,
    MODEL_FILES,
    THRESHOLD,
    WEIGHTS_FILE,
    WORD_INDEX_FILE,
)
from sentiment.text.padding import pad_ranks
from tests.models import new_layout, new_model

pytestmark = pytest.mark.slow
LABELS = ["bad", "good"]
RANKS = {"a": 1, "fine": 2, "dull": 3, "film": 4, "rare": 90}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> SentimentModel:
    """Return a small untrained model, loaded from the files of a registered model."""
    folder = tmp_path_factory.mktemp("model")
    config = {
        "dataset": "imdb",
        "label_names": LABELS,
        "layout": asdict(new_layout()),
        "tokenizer": "keras",
    }
    save_model(new_model(), folder / WEIGHTS_FILE)
    (folder / WORD_INDEX_FILE).write_text(json.dumps(RANKS))
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    model = SentimentModel()
    artifacts = {name: str(folder / name) for name in MODEL_FILES}
    context = SimpleNamespace(artifacts=artifacts, model_config={THRESHOLD: 0.5})
    model.load_context(context)  # type: ignore[arg-type]
    return model


def test_predictions_are_those_of_the_model_for_the_encoded_texts(served: SentimentModel) -> None:
    texts = ["A fine film", "dull", "", "unheard of"]
    table = served.predict(None, pd.DataFrame({"text": texts}))
    rows = pad_ranks(
        [tokenizer.encode(content, RANKS, tokenizer.KERAS).ranks for content in texts],
        new_layout(),
    )
    expected = BatchPredictor(new_model())(rows)
    of_labels = pd.DataFrame(table["probabilities"].tolist())
    assert list(of_labels) == LABELS
    np.testing.assert_array_equal(of_labels.to_numpy(np.float32), expected)
    assert table["label"].tolist() == [LABELS[row.argmax()] for row in expected]
    assert table["probability"][2] == table["probability"][3]  # no known word in either
    assert len(served.predict(None, pd.DataFrame({"text": []}))) == 0


def test_probability_is_that_of_the_label(
    served: SentimentModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = pd.DataFrame({"text": ["A fine film", "dull"]})
    for threshold, label in ((0.0, "good"), (1.0, "bad")):
        monkeypatch.setattr(served, "threshold", threshold)
        table = served.predict(None, texts)
        assert table["label"].tolist() == [label, label]
        assert table["probability"].dtype == np.float32
        of_label = [probabilities[label] for probabilities in table["probabilities"]]
        assert table["probability"].tolist() == of_label
        assert [sum(row.values()) for row in table["probabilities"]] == pytest.approx([1, 1])


def test_prediction_says_how_much_of_the_text_is_read(served: SentimentModel) -> None:
    short, long = served.predict_texts(["a rare, unheard film", "dull " * 7])
    assert isinstance(short, Prediction)
    assert (short.words, short.unknown_words) == (4, 2)
    assert (long.words, long.unknown_words) == (7, 0)


@pytest.mark.parametrize(("value", "problem"), [(float("nan"), "missing"), (5, "int, not")])
def test_value_that_is_not_a_text_is_refused_by_its_row(value: object, problem: str) -> None:
    column = pd.Series(["a", value], dtype=object)
    with pytest.raises(MlflowException, match=f"Row 1 of column 'text' is {problem}"):
        SentimentModel().predict(None, pd.DataFrame({"text": column}))
