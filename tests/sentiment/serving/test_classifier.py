"""Raw text in, label and probability out, and what each word did to it."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from sentiment import text
from sentiment.network.model import build_model
from sentiment.padding import layout
from sentiment.serving import classifier
from sentiment.serving.classifier import Sentiment
from sentiment.serving.keras_reader import Network
from tests.conftest import inputs
from workflow import files
from workflow.params import Params
from workflow.registry import packaging

pytestmark = pytest.mark.usefixtures("backend")
RANKS = {"a": 1, "fine": 2, "dull": 3, "film": 4, "rare": 90}


@pytest.fixture
def artifacts(tmp_path: Path, small_params: Params) -> dict[str, str]:
    """The files of a small untrained model."""
    model = build_model(small_params.train, inputs(20, 6))
    settings = {
        "layout": asdict(layout(small_params.pad)) | {"num_words": 20, "max_length": 6},
        "batch_size": 4,
    }
    kept = packaging.Model(tmp_path / "model.keras", settings)
    parts = packaging.Parts([kept], tmp_path / "word_index.json", threshold=0.5)
    model.save(kept.path)
    files.write_json(parts.words, RANKS)
    return packaging.write_artifacts(tmp_path, parts)


@pytest.fixture
def served(artifacts: dict[str, str]) -> Sentiment:
    model = Sentiment()
    model.load_context(SimpleNamespace(artifacts=artifacts))  # type: ignore[arg-type]
    return model


def network_of(served: Sentiment) -> Network:
    assert isinstance(served.reader, Network)
    return served.reader


def test_answers_are_those_of_the_model_to_the_encoded_text(served: Sentiment) -> None:
    texts = ["A fine film", "dull", "", "unheard of"]
    table = served.predict(None, pd.DataFrame({"text": texts}))
    expected = network_of(served).ask(text.encode(texts, RANKS, network_of(served).layout))
    np.testing.assert_array_equal(table["probability"].to_numpy(), expected)
    assert table["probability"].dtype == np.float32
    assert table["label"].tolist() == [
        "positive" if probability > 0.5 else "negative" for probability in expected
    ]
    assert table["probability"][2] == table["probability"][3]  # no known word in either


def test_no_rows_get_no_answers(served: Sentiment) -> None:
    assert len(served.predict(None, pd.DataFrame({"text": []}))) == 0


@pytest.mark.parametrize(
    ("given", "problem"),
    [(None, "missing"), (float("nan"), "missing"), (5, "int, not"), (["a"], "list, not")],
)
def test_what_is_no_text_is_refused_by_its_row(
    served: Sentiment, given: object, problem: str
) -> None:
    column = pd.Series(["a", given], dtype=object)
    with pytest.raises(MlflowException, match=f"Row 1 of column 'text' is {problem}"):
        served.predict(None, pd.DataFrame({"text": column}))


def test_each_word_is_held_against_an_unknown_one(served: Sentiment) -> None:
    content = "Well: a FINE film, rare"
    explanation = served.explain(content)
    assert [content[w.start : w.end] for w in explanation.words] == ["a", "FINE", "film", "rare"]
    whole, without = network_of(served).ask(
        text.encode([content, "a rare film rare"], RANKS, network_of(served).layout)
    )
    assert explanation.probability == float(whole)
    effect = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert explanation.words[1].log_odds == pytest.approx(effect, abs=1e-5)
    assert explanation.words[3].log_odds == 0  # beyond num_words it is unknown anyway


def test_words_that_were_cut_off_have_no_part_in_the_answer(served: Sentiment) -> None:
    content = "dull " * 4 + "a fine film a fine film"
    assert [w.start for w in served.explain(content).words] == [20, 22, 27, 32, 34, 39]
    reader = network_of(served)
    reader.layout = replace(reader.layout, truncating="post")
    assert [w.start for w in served.explain(content).words] == [0, 5, 10, 15, 20]


def test_each_step_of_a_trace_is_the_answer_to_the_text_cut_there(served: Sentiment) -> None:
    content = "Well: a FINE film, rare"
    steps = served.trace(content)
    assert [content[step.start : step.end] for step in steps] == ["a", "FINE", "film", "rare"]
    cut = pd.DataFrame({"text": [content[: step.end] for step in steps]})
    answers = served.predict(None, cut)["probability"].tolist()
    assert [step.probability for step in steps] == answers
    assert answers[-1] == served.explain(content).probability


@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("padding", ["pre", "post"])
def test_a_trace_has_the_words_that_are_read_and_ends_at_the_answer(
    served: Sentiment, padding: Any, truncating: Any
) -> None:
    reader = network_of(served)
    reader.layout = replace(reader.layout, padding=padding, truncating=truncating)
    content = "dull " * 4 + "a fine film a fine film"
    steps, explanation = served.trace(content), served.explain(content)
    assert [step.start for step in steps] == [word.start for word in explanation.words]
    assert steps[-1].probability == explanation.probability


def test_a_text_without_known_words_has_an_empty_trace(served: Sentiment) -> None:
    assert served.trace("unheard of") == []


@pytest.mark.parametrize("content", ["", "unheard of", "?!"])
def test_a_text_without_known_words_is_explained_by_none(served: Sentiment, content: str) -> None:
    explanation = served.explain(content)
    assert explanation.words == []
    assert 0 < explanation.probability < 1


@pytest.mark.parametrize("name", ["model.keras", classifier.INDEX])
def test_a_file_that_was_changed_is_refused(artifacts: dict[str, str], name: str) -> None:
    with Path(artifacts[name]).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ValueError, match=f"{name} was changed"):
        Sentiment().load_context(SimpleNamespace(artifacts=artifacts))  # type: ignore[arg-type]


def test_settings_name_the_digests_of_the_files(artifacts: dict[str, str]) -> None:
    settings = json.loads(Path(artifacts[classifier.SETTINGS]).read_bytes())
    assert settings["files"] == {
        name: files.sha256(Path(artifacts[name])) for name in ("model.keras", classifier.INDEX)
    }


def test_what_travels_is_loaded_under_its_own_name_without_the_project(
    tmp_path: Path, artifacts: dict[str, str]
) -> None:
    packaging.write_code(tmp_path, "served_abc", packaging.CODE)
    code = f"""
import sys
from types import SimpleNamespace
from served_abc.sentiment.serving.classifier import Sentiment
model = Sentiment()
model.load_context(SimpleNamespace(artifacts={artifacts!r}))
print(model.explain("a fine film").label)
print(*[name for name in sys.modules if name.partition(".")[0] in {{"sentiment", "stages"}}])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    label, ours = done.stdout.split("\n")[:2]
    assert label in ("positive", "negative")
    assert ours == ""
