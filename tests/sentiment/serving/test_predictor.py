"""A review gets the same bits in any company."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sentiment.network.model import build_model
from sentiment.params import Params
from sentiment.serving.backend import load_keras
from sentiment.serving.predictor import Predictor
from tests.conftest import defaults, inputs
from tests.project import merged

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
REVIEWS, LENGTH, WORDS = 37, 20, 60


OPTIONS = {"mask_padding": True, "segment_length": 5, "layers": 2}


@pytest.fixture(scope="module", params=["lstm", "gru", "simple_rnn"])
def model(request: pytest.FixtureRequest) -> "keras.Model":
    train = {"cell": request.param, "units": 8, "bidirectional": True, "pooling": "max+mean"}
    train |= OPTIONS if request.param == "lstm" else {}
    dropout = {"input": 0.5, "head": 0.5, "word": 0.5}
    params = Params.model_validate(merged(defaults(), {"train": {**train, "dropout": dropout}}))
    load_keras().utils.set_random_seed(0)
    return build_model(params.train, inputs(WORDS, LENGTH))


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
