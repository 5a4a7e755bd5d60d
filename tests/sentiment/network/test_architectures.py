"""A transformer is the paper's, padding and positions included; another encoder is one entry."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
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
from sentiment.padding import layout
from sentiment.serving.classifier import Sentiment
from sentiment.serving.keras_reader import Predictor
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_model import BEFORE, BEHIND, SHORT, answers, settings
from tests.sentiment.network.test_training import parts, small
from workflow import files
from workflow.params import Params
from workflow.registry import packaging

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
POOLINGS = ("last", "max", "mean", "max+mean")


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


def served(model: "keras.Model", params: Params, folder: Path) -> Sentiment:
    """A model as a registered version has it, with words of its own."""
    shape = asdict(layout(params.pad)) | {"num_words": 20, "max_length": 6}
    kept = packaging.Model(folder / "model.keras", {"layout": shape, "batch_size": 4})
    found = packaging.Parts([kept], folder / "word_index.json", threshold=0.5)
    save_model(model, kept.path)
    files.write_json(found.words, {"a": 1, "fine": 2, "dull": 3, "film": 4})
    answering = Sentiment()
    artifacts = packaging.write_artifacts(folder, found)
    answering.load_context(SimpleNamespace(artifacts=artifacts))  # type: ignore[arg-type]
    return answering


def test_params_yaml_may_name_what_has_an_entry() -> None:
    allowed = get_args(Train.model_fields["architecture"].annotation)
    assert set(allowed) == ARCHITECTURES.keys() == ONLY.keys()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_entry_is_enough_to_train_an_encoder_and_to_ask_it(another: Train, pooling: str) -> None:
    model = trained(another.model_copy(update={"pooling": pooling}))
    x = parts()[1].x
    assert model.get_layer("convolution").output.shape == (None, 6, 4)
    reached = gradients.norms(model, x)
    assert reached.shape == x.shape
    assert (reached.max(axis=1) > 0).all()
    np.testing.assert_allclose(Predictor(model, 8)(x), model(x)[:, 0], atol=1e-6)


def test_an_encoder_s_words_are_explained_and_traced(
    another: Train, small_params: Params, tmp_path: Path
) -> None:
    model = served(trained(another), small_params, tmp_path)
    explanation, steps = explain(model, "a fine film"), trace(model, "a fine film")
    assert len(explanation.words) == len(steps) == 3
    assert any(word.log_odds for word in explanation.words)
    assert steps[-1].probability == explanation.probability


def test_an_encoder_trains_by_stock_keras(another: Train) -> None:
    training = Training(another, inputs(20, 6), *parts())
    assert training.path == "stock Keras: a convolution has no other path"


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_no_answer_of_a_transformer(pooling: str, layers: int) -> None:
    train = settings(**TRANSFORMER, pooling=pooling, layers=layers)
    before, behind = answers(train, BEFORE, BEHIND)
    assert before == pytest.approx(behind, abs=1e-6)
    assert [before] == pytest.approx(answers(train, SHORT), abs=1e-6)


def test_a_transformer_reads_the_order_of_words_by_their_positions_alone() -> None:
    model = build_model(settings(**TRANSFORMER, pooling="mean"), inputs(50, 3))
    forward, backward = model(np.array([[7, 8, 9], [9, 8, 7]]))[:, 0]
    assert abs(float(forward - backward)) > 1e-4
    positions = model.get_layer("positions")
    positions.set_weights([np.zeros_like(weight) for weight in positions.get_weights()])
    forward, backward = model(np.array([[7, 8, 9], [9, 8, 7]]))[:, 0]
    assert float(forward) == pytest.approx(float(backward), abs=1e-6)


def test_positions_are_the_papers_sinusoids_and_stay_so() -> None:
    params = small(**TRANSFORMER, embedding_units=6, epochs=1)
    layer = trained(params).get_layer("positions")
    (table,) = layer.get_weights()
    wave = 5 / 10_000 ** (np.arange(0, 6, 2) / 6)
    np.testing.assert_allclose(table[5], [*np.sin(wave), *np.cos(wave)], rtol=1e-6)
    assert layer.trainable_weights == []


def test_a_transformer_has_the_parameters_of_its_parts() -> None:
    model = build_model(settings(**TRANSFORMER, layers=2, units=32), inputs(50, 9))
    attention, feed_forward, norms = 4 * (64 * 64 + 64), 2 * 64 * 32 + 32 + 64, 2 * 2 * 64
    learned = 50 * 64 + 2 * (attention + feed_forward + norms) + 64 + 1
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == learned
    assert model.count_params() == learned + 10 * 64  # the positions


def test_a_block_computes_as_the_paper_has_it() -> None:
    """softmax(QK'/√d)V in each head, then ReLU; each added to its input and normalized."""
    load_keras().utils.set_random_seed(1)
    model = build_model(settings(**TRANSFORMER, units=32, pooling="mean"), inputs(50, 5))
    rng, tokens = np.random.default_rng(0), np.array([7, 8, 9, 7, 1])
    model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    norms = [weights[name] for name in weights if name.startswith("layer_normalization")]

    def normalized(values: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> Any:
        centred = values - values.mean(axis=1, keepdims=True)
        return scale * centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-3) + offset

    x = 8 * weights["embedding"][0][tokens] + weights["positions"][0][1:6]
    q, q_bias, k, k_bias, v, v_bias, out, out_bias = weights["attention"]
    query, key, value = (
        np.einsum("tf,fhd->htd", x, kernel) + bias[:, None]
        for kernel, bias in ((q, q_bias), (k, k_bias), (v, v_bias))
    )
    scores = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(32))
    heads = scores / scores.sum(axis=2, keepdims=True) @ value
    x = normalized(x + np.einsum("htd,hdf->tf", heads, out) + out_bias, *norms[0])
    (up, up_bias), (down, down_bias) = weights["hidden"], weights["feed_forward"]
    x = normalized(x + np.maximum(x @ up + up_bias, 0) @ down + down_bias, *norms[1])
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


def test_a_transformer_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    options = {"layers": 2, "pooling": "max+mean", "bigrams": {"units": 2, "buckets": 50}}
    model = trained(small(**TRANSFORMER, **options, epochs=1))
    save_model(model, tmp_path / "model.keras")
    loaded = load_keras().saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = parts()[1].x
    np.testing.assert_array_equal(loaded(x), model(x))
