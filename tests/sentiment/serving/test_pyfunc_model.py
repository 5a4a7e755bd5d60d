"""The registered model predicts label and probability of raw texts."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from sentiment import tokenizer
from sentiment.network.model import build_model, save_model
from sentiment.padding import layout
from sentiment.serving import pyfunc_model
from sentiment.serving.keras_classifier import KerasClassifier
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import Encoded, ReadLimits
from tests.conftest import inputs
from workflow import files
from workflow.params import Params
from workflow.registry import packaging

if TYPE_CHECKING:
    import keras

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
RANKS = {"a": 1, "fine": 2, "dull": 3, "film": 4, "rare": 90}


def write_package(model: "keras.Model", params: Params, folder: Path) -> dict[str, str]:
    """Write the files of a registered model of reviews of six tokens, and return their paths."""
    shape = asdict(layout(params.pad)) | {"num_words": 20, "max_length": 6}
    packaged = packaging.PackagedModel(folder / "model.keras", {"layout": shape, "batch_size": 4})
    package = packaging.ModelPackage([packaged], folder / "word_index.json", threshold=0.5)
    save_model(model, packaged.path)
    files.write_json(package.word_index, RANKS)
    return packaging.write_artifacts(folder, package)


def load_model(artifacts: dict[str, str]) -> SentimentModel:
    model = SentimentModel()
    model.load_context(SimpleNamespace(artifacts=artifacts))  # type: ignore[arg-type]
    return model


@pytest.fixture
def artifacts(tmp_path: Path, small_params: Params) -> dict[str, str]:
    """Return the paths of the files of a small untrained model."""
    return write_package(build_model(small_params.train, inputs(20, 6)), small_params, tmp_path)


def test_predictions_are_those_of_the_model_for_the_encoded_texts(
    artifacts: dict[str, str],
) -> None:
    served = load_model(artifacts)
    texts = ["A fine film", "dull", "", "unheard of"]
    table = served.predict(None, pd.DataFrame({"text": texts}))
    classifier = served.classifier
    assert isinstance(classifier, KerasClassifier)
    ranks = [tokenizer.encode(content, RANKS).ranks for content in texts]
    expected = classifier.predictor(tokenizer.pad_ranks(ranks, classifier.layout))
    np.testing.assert_array_equal(table["probability"].to_numpy(), expected)
    assert table["probability"].dtype == np.float32
    assert table["label"].tolist() == [served.label_of(probability) for probability in expected]
    assert table["probability"][2] == table["probability"][3]  # no known word in either
    assert len(served.predict(None, pd.DataFrame({"text": []}))) == 0
    served.threshold = 0.75
    labels = [served.label_of(np.float32(probability)) for probability in (0.5, 0.75, 0.8)]
    assert labels == ["negative", "negative", "positive"]


def test_read_limits_follow_from_the_layouts() -> None:
    layout = {"num_words": 20, "max_length": 6}
    read = ReadLimits.from_layouts([layout])
    assert read == (16, 5)  # the start token takes one column
    assert ReadLimits.from_layouts([layout, {**layout, "max_length": 9}]) == (16, 8)
    assert ReadLimits.from_layouts([layout, {**layout, "num_words": 30}]) == (26, 5)
    assert read.count_unknown(Encoded([16, 17, 1], word_count=5)) == 3
    assert [read.is_truncated(Encoded([1] * words, words)) for words in (5, 6)] == [False, True]


@pytest.mark.parametrize(("value", "problem"), [(float("nan"), "missing"), (5, "int, not")])
def test_value_that_is_not_a_text_is_refused_by_its_row(value: object, problem: str) -> None:
    column = pd.Series(["a", value], dtype=object)
    with pytest.raises(MlflowException, match=f"Row 1 of column 'text' is {problem}"):
        SentimentModel().predict(None, pd.DataFrame({"text": column}))


@pytest.mark.parametrize("name", ["model.keras", pyfunc_model.WORD_INDEX_FILE])
def test_changed_file_is_refused(artifacts: dict[str, str], name: str) -> None:
    config = json.loads(Path(artifacts[pyfunc_model.CONFIG_FILE]).read_bytes())
    assert config["files"][name] == files.sha256(Path(artifacts[name]))
    with Path(artifacts[name]).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ValueError, match=f"{name} was changed"):
        load_model(artifacts)
