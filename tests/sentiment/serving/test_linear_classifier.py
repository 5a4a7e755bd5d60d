import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sentiment.explanation import explain, prefix_predictions
from sentiment.serving import linear_classifier
from sentiment.serving.linear_classifier import LinearClassifier
from sentiment.serving.pyfunc_model import SentimentModel
from tests.project import run_code
from workflow import files
from workflow.registry import packaging
from workflow.registry.packaging import ModelPackage, PackagedModel

RANKS = {"not": 1, "good": 2, "film": 3, "unheard": 9}
NOT_GOOD, GOOD_GOOD = (rank << linear_classifier.BIGRAM_BITS for rank in (1, 2))


def model(counted: bool = True, normalized: bool = False) -> LinearClassifier:
    """It knows the words `not` and `good`, and the bigrams `not good` and `good good`."""
    return LinearClassifier(
        np.array([1, 2, NOT_GOOD + 2, GOOD_GOOD + 2]),
        np.array([1, 1, 2, 0.5], np.float32),
        np.array([-0.5, 2, -3, 1.5], np.float32),
        np.array(0.25, np.float32),
        np.array(counted),
        np.array(normalized),
    )


def log_odds(fitted: LinearClassifier, *ranks: int) -> float:
    (probability,) = fitted.probabilities([np.array(ranks, np.int64)])
    return float(np.log(probability / (1 - probability)))


def test_log_odds_are_the_sum_of_known_words_and_bigrams() -> None:
    assert log_odds(model(), 1, 2) == pytest.approx(0.25 - 0.5 + 2 + 2 * -3, abs=1e-5)
    assert log_odds(model(), 2, 3, 2) == pytest.approx(0.25 + 2 * 2, abs=1e-5)
    assert log_odds(model(counted=False), 2, 3, 2) == pytest.approx(0.25 + 2, abs=1e-5)
    expected = 0.25 + (2 * 2 - 0.5) / math.sqrt(2 * 2 + 1)
    assert log_odds(model(normalized=True), 2, 3, 2, 3, 1) == pytest.approx(expected, abs=1e-5)
    for unknown in ((), (3,), (9, 88_000)):  # a rank may be beyond the last feature
        assert log_odds(model(), *unknown) == pytest.approx(0.25, abs=1e-5)


def parts(folder: Path, fitted: LinearClassifier) -> ModelPackage:
    """What a served model is made from, in a folder."""
    saved = PackagedModel(folder / linear_classifier.FILE, {}, classifier="linear_classifier")
    np.savez(saved.path, **asdict(fitted))
    files.write_json(folder / "word_index.json", RANKS)
    return ModelPackage([saved], folder / "word_index.json", threshold=0.5)


@pytest.fixture(params=[(True, True), (False, False)])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> SentimentModel:
    artifacts = packaging.write_artifacts(tmp_path, parts(tmp_path, model(*request.param)))
    sentiment = SentimentModel()
    sentiment.load_context(SimpleNamespace(artifacts=artifacts))  # type: ignore[arg-type]
    return sentiment


def probabilities_of(served: SentimentModel, *texts: str) -> list[float]:
    return list(served.predict(None, pd.DataFrame({"text": texts}))["probability"])


def test_attribution_removes_a_word_with_its_bigrams(
    served: SentimentModel,
) -> None:
    texts = ["not good film not good good good", "unheard good film not good good good"]
    texts += ["not good film not unheard good good", "not good film not good unheard good"]
    words = explain(served, texts[0]).words
    probabilities = np.array(probabilities_of(served, *texts))
    whole, *without = np.log(probabilities / (1 - probabilities))
    for place, odds in zip((0, 4, 5), without, strict=True):
        assert words[place].log_odds == pytest.approx(whole - odds, abs=1e-5)
    assert words[2].log_odds == pytest.approx(0, abs=1e-6)
    assert [word.start for word in words] == [0, 4, 9, 14, 18, 23, 28]


def test_prefix_prediction_is_the_prediction_for_the_prefix(
    served: SentimentModel, rng: np.random.Generator
) -> None:
    content = "not good, a film not good " + " ".join(rng.choice([*RANKS, "unknown"], 100))
    steps = prefix_predictions(served, content)
    assert [step.probability for step in steps] == probabilities_of(
        served, *(content[: step.end] for step in steps)
    )


def test_text_without_known_words_is_predicted(served: SentimentModel) -> None:
    assert probabilities_of(served, "", "quite unknown") == pytest.approx(
        [1 / (1 + math.exp(-0.25))] * 2
    )
    assert not explain(served, "").words
    assert not prefix_predictions(served, "")


@pytest.mark.slow
def test_linear_model_is_served_without_tensorflow(tmp_path: Path) -> None:
    np.savez(tmp_path / linear_classifier.FILE, **asdict(model()))
    code = """
import sys
from pathlib import Path
from sentiment.serving import linear_classifier, pyfunc_model
model, paths = {"file": "m"}, {"m": Path(sys.argv[1])}
probabilities = linear_classifier.load(model, paths).predict_probability([[]])
print(probabilities, {"tensorflow", "keras"} & {*sys.modules})
"""
    done = run_code(code, str(tmp_path / linear_classifier.FILE))
    assert done.stdout == "[0.5621765] set()\n", done.stderr
