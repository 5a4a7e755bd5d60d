"""A review gets the same bits in any company."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.network.model import build_model
from sentiment.serving.keras_reader import Predictor
from tests.conftest import defaults, inputs
from tests.project import TRANSFORMER, merged
from workflow.params import Params

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
REVIEWS, LENGTH, WORDS = 37, 20, 60
NETWORKS = [
    {"cell": "lstm"},
    {
        "cell": "lstm",
        "bidirectional": True,
        "layers": 2,
        "mask_padding": True,
        "segment_length": 5,
        "pooling": "max+mean",
    },
    {"cell": "gru", "mask_padding": True},
    {"cell": "gru", "bidirectional": True, "pooling": "max"},
    {"cell": "simple_rnn", "bidirectional": True},
    {
        "bigrams": {"units": 3, "buckets": 50},
        "bidirectional": True,
        "mask_padding": True,
        "segment_length": 5,
        "pooling": "max+mean",
    },
    {**TRANSFORMER, "layers": 2, "pooling": "max+mean"},
]


def network(**train: Any) -> "keras.Model":
    dropout = {"embedding": 0.5, "input": 0.5, "head": 0.5, "word": 0.5}
    changes = {"train": {**train, "units": 8, "dropout": dropout}}
    params = Params.model_validate(merged(defaults(), changes))
    load_keras().utils.set_random_seed(0)
    model = build_model(params.train, inputs(WORDS, LENGTH))
    rng = np.random.default_rng(0)  # as a bias has zeros before it is trained
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda train: ", ".join(train))
def model(request: pytest.FixtureRequest) -> "keras.Model":
    return network(**request.param)


@pytest.fixture
def tokens(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, WORDS, (REVIEWS, LENGTH)).astype(np.uint16)


def test_answers_are_the_model_s(model: "keras.Model", tokens: np.ndarray) -> None:
    answers = Predictor(model, 8)(tokens)
    assert answers.shape == (REVIEWS,)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, model.predict(tokens, verbose=0)[:, 0], atol=1e-6)
    assert np.ptp(answers) > 0


def test_bits_do_not_depend_on_the_other_reviews(model: "keras.Model", tokens: np.ndarray) -> None:
    ask = Predictor(model, 8)
    together = ask(tokens)
    alone = np.concatenate([ask(tokens[row : row + 1]) for row in range(REVIEWS)])
    shifted = np.concatenate([ask(tokens[:3]), ask(tokens[3:])])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(shifted, together)


def test_no_reviews_get_no_answers(model: "keras.Model", tokens: np.ndarray) -> None:
    assert Predictor(model, 8)(tokens[:0]).shape == (0,)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_where_keras_would_use_cudnn_xla_compiles_the_model_all_the_same(
    cell: str, tokens: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Predictor(network(cell=cell), 8)(tokens)
    monkeypatch.setattr("tensorflow.config.list_logical_devices", lambda *_: ["GPU:0"])
    np.testing.assert_array_equal(Predictor(network(cell=cell), 8)(tokens), expected)
