"""A transformer can be used wherever an LSTM can."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from extras.compare import __main__ as compare
from extras.demo import __main__ as demo
from extras.demo import gates
from sentiment.explanation import prefix_predictions
from tests.conftest import Caller, own_copy, runs, stand_in
from tests.project import MODEL, Project
from tools import predict
from workflow.registry import packaging

pytestmark = pytest.mark.slow
TEXT = "the plot was not good"


@pytest.fixture(autouse=True)
def standing(transformed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in that project. Tests do not change it."""
    stand_in(transformed.path, monkeypatch)


def test_transformer_is_loaded_explained_and_shown(call: Caller) -> None:
    rows = pd.read_csv("data/evaluate/mistakes.csv", dtype={"probability": np.float32})
    served = packaging.load_model(f"models:/{MODEL}@champion")
    predicted = served.predict(None, rows[["text"]])
    np.testing.assert_array_equal(predicted["probability"], rows["probability"])
    prediction = call.json(predict.main, "--text", TEXT)
    assert {word["word"] for word in prediction["words"]} <= set(TEXT.split())
    assert any(word["log_odds"] for word in prediction["words"])
    steps = prefix_predictions(served, TEXT)
    assert steps[-1].probability == prediction["probability"]
    page = AppTest.from_file(demo.PAGE, default_timeout=100).run()
    assert not page.exception
    assert page.subheader[0].value in ("Positive", "Negative")
    assert gates.gates_by_word(served.classifier) is None


def test_transformer_is_compared_with_an_lstm(
    transformed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Caller
) -> None:
    own_copy(transformed, tmp_path, monkeypatch)
    transformer, lstm = (run.info.run_id for run in runs())
    output = call(compare.main, "--a", lstm, "--b", transformer)
    assert "| train.architecture | recurrent | transformer |" in output
