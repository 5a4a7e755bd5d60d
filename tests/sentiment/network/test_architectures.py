"""A transformer is the paper's, padding and positions included; another encoder is one entry."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest

from sentiment import gradients
from sentiment.backend import load_keras
from sentiment.explanation import explain, trace
from sentiment.network.architectures import ARCHITECTURES
from sentiment.network.model import build_model, save_model
from sentiment.network.state import START
from sentiment.network.train_options import ONLY, Train
from sentiment.network.training import Training
from sentiment.serving.keras_reader import Predictor
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_model import BEFORE, BEHIND, SHORT, answers, settings
from tests.sentiment.network.test_training import parts, small
from tests.sentiment.serving.test_classifier import load, packed
from workflow.params import Params

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")


def convolution(params: Train, vectors: Any, _: Any) -> Any:
    """The states of an encoder that the project does not have."""
    import keras

    layer = keras.layers.Conv1D(params.units, 3, padding="same", name="convolution")
    return layer(vectors)


@pytest.fixture
def another(monkeypatch: pytest.MonkeyPatch, small_params: Params) -> Train:
    """Small params of that encoder, which has an entry."""
    monkeypatch.setitem(ARCHITECTURES, "convolution", convolution)
    return small_params.train.model_copy(update={"architecture": "convolution", "epochs": 1})


def trained(params: Train) -> "keras.Model":
    """A model after its epochs on few short reviews."""
    training = Training(params, inputs(20, 6), *parts())
    training.fit(START, lambda _: None, show=False)
    return training.model


def test_params_yaml_may_name_what_has_an_entry() -> None:
    allowed = get_args(Train.model_fields["architecture"].annotation)
    assert set(allowed) == ARCHITECTURES.keys() == ONLY.keys()


@pytest.mark.parametrize("pooling", ["last", "max+mean"])
def test_an_entry_is_enough_to_train_an_encoder_and_to_ask_it(another: Train, pooling: str) -> None:
    params = another.model_copy(update={"pooling": pooling})
    training = Training(params, inputs(20, 6), *parts())
    assert training.path == "stock Keras: a convolution has no other path"
    training.fit(START, lambda _: None, show=False)
    model, x = training.model, parts()[1].x
    assert model.get_layer("convolution").output.shape == (None, 6, 4)
    reached = gradients.norms(model, x)
    assert reached.shape == x.shape
    assert (reached.max(axis=1) > 0).all()
    np.testing.assert_allclose(Predictor(model, 8)(x), model(x)[:, 0], atol=1e-6)


def test_an_encoder_s_words_are_explained_and_traced(
    another: Train, small_params: Params, tmp_path: Path
) -> None:
    model = load(packed(trained(another), small_params, tmp_path))
    explanation, steps = explain(model, "a fine film"), trace(model, "a fine film")
    assert len(explanation.words) == len(steps) == 3
    assert any(word.log_odds for word in explanation.words)
    assert steps[-1].probability == explanation.probability


@pytest.mark.parametrize("pooling", ["last", "max", "mean"])
def test_padding_changes_no_answer_of_a_transformer(pooling: str) -> None:
    train = settings(**TRANSFORMER, pooling=pooling, layers=2)
    before, behind = answers(train, BEFORE, BEHIND)
    assert before == pytest.approx(behind, abs=1e-6)
    assert [before] == pytest.approx(answers(train, SHORT), abs=1e-6)


def test_a_transformer_reads_the_order_of_words_by_their_positions_alone() -> None:
    model = build_model(settings(**TRANSFORMER, pooling="mean"), inputs(50, 3))

    def difference() -> float:
        forward, backward = model(np.array([[7, 8, 9], [9, 8, 7]])).numpy()[:, 0]
        return abs(float(forward - backward))

    assert difference() > 1e-4
    positions = model.get_layer("positions")
    positions.set_weights([np.zeros_like(weight) for weight in positions.get_weights()])
    assert difference() < 1e-6


def test_positions_are_the_papers_sinusoids_and_stay_so_once_loaded(tmp_path: Path) -> None:
    options = {"layers": 2, "pooling": "max+mean", "bigrams": {"units": 2, "buckets": 50}}
    model = trained(small(**TRANSFORMER, **options, epochs=1))
    layer, wave = model.get_layer("positions"), 5 / 10_000 ** (np.arange(0, 6, 2) / 6)
    (table,) = layer.get_weights()
    np.testing.assert_allclose(table[5], [*np.sin(wave), *np.cos(wave)], rtol=1e-6)
    assert layer.trainable_weights == []
    save_model(model, tmp_path / "model.keras")
    loaded = load_keras().saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = parts()[1].x
    np.testing.assert_array_equal(loaded(x), model(x))


def test_blocks_compute_as_the_paper_has_it() -> None:
    """softmax(QK'/√d)V in each head, then ReLU; each added to its input and normalized."""
    load_keras().utils.set_random_seed(1)
    model = build_model(settings(**TRANSFORMER, units=32, layers=2, pooling="mean"), inputs(50, 5))
    rng, tokens = np.random.default_rng(0), np.array([7, 8, 9, 7, 1])
    model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    norms = [weights[name] for name in weights if name.startswith("layer_normalization")]

    def add(values: np.ndarray, part: np.ndarray) -> Any:
        scale, offset = norms.pop(0)
        centred = values + part - (values + part).mean(axis=1, keepdims=True)
        return scale * centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-3) + offset

    x = 8 * weights["embedding"][0][tokens] + weights["positions"][0][1:6]
    for block in ("", "_2"):
        *projections, out, out_bias = weights[f"attention{block}"]
        query, key, value = (
            np.einsum("tf,fhd->htd", x, kernel) + bias[:, None]
            for kernel, bias in zip(projections[::2], projections[1::2], strict=True)
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(32))
        heads = scores / scores.sum(axis=2, keepdims=True) @ value
        x = add(x, np.einsum("htd,hdf->tf", heads, out) + out_bias)
        (up, up_bias), (down, down_bias) = (
            weights[f"hidden{block}"],
            weights[f"feed_forward{block}"],
        )
        x = add(x, np.maximum(x @ up + up_bias, 0) @ down + down_bias)
    kernel, bias = weights["probability"]
    logit = float((x.mean(axis=0) @ kernel + bias)[0])
    assert float(model(tokens[None])[0, 0]) == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


def test_segments_of_a_transformer_do_not_attend_to_each_other() -> None:
    train = settings(**TRANSFORMER, pooling="max", segment_length=4)
    model = build_model(train, inputs(50, 8))
    states = load_keras().Model(model.input, model.get_layer("max").input)
    reviews = np.array([[7, 8, 9, 1, 2, 3, 4, 5], [7, 8, 9, 1, 5, 4, 3, 2]])
    first, second = np.asarray(states(reviews))
    np.testing.assert_allclose(first[:4], second[:4], atol=1e-6)
    assert not np.allclose(first[4:], second[4:], atol=1e-3)
