"""The transformer computes as in the paper. Another architecture needs one entry."""

from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from sentiment import gradients
from sentiment.backend import load_keras
from sentiment.explanation import explain, prefix_predictions
from sentiment.network.architectures import ARCHITECTURES
from sentiment.network.model import build_model
from sentiment.network.params import TrainParams
from sentiment.network.progress import NO_PROGRESS
from sentiment.network.sequence import sequence_features
from sentiment.network.training import Training
from sentiment.serving.keras_classifier import BatchPredictor
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_model import train_params
from tests.sentiment.network.test_training import splits
from tests.sentiment.serving.test_pyfunc_model import load_model, write_package
from workflow.params import Params

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]


def convolution(params: TrainParams, vectors: Any, _: Any) -> Any:
    """Return the states of an encoder that the project does not have."""
    import keras

    layer = keras.layers.Conv1D(params.units, 3, padding="same", name="convolution")
    return layer(vectors)


def test_params_allow_exactly_the_registered_architectures() -> None:
    allowed = get_args(TrainParams.model_fields["architecture"].annotation)
    assert set(allowed) == ARCHITECTURES.keys()


def test_registered_architecture_can_be_trained_served_and_explained(
    monkeypatch: pytest.MonkeyPatch, small_params: Params, tmp_path: Path
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "convolution", partial(sequence_features, convolution))
    changes = {"architecture": "convolution", "epochs": 1}
    params = small_params.train.model_copy(update=changes)
    training = Training(params, inputs(20, 6), *splits())
    assert training.implementation == "stock Keras: a convolution has no other path"
    training.fit(NO_PROGRESS, lambda _: None, verbose=False)
    model = training.model
    x = splits()[1].x
    assert model.get_layer("convolution").output.shape == (None, 6, 4)
    assert gradients.gradient_norms(model, x).shape == x.shape
    np.testing.assert_allclose(BatchPredictor(model, 8)(x), model(x)[:, 0], atol=1e-6)
    served = load_model(write_package(model, small_params, tmp_path))
    explanation = explain(served, "a fine film")
    prefixes = prefix_predictions(served, "a fine film")
    assert len(explanation.words) == len(prefixes) == 3
    assert any(word.log_odds for word in explanation.words)
    assert prefixes[-1].probability == explanation.probability


def test_encoder_blocks_compute_as_in_the_paper() -> None:
    """Check sinusoids by position; softmax(QK'/√d)V, then ReLU, each added and normalized."""
    load_keras().utils.set_random_seed(1)
    model = build_model(
        train_params(**TRANSFORMER, units=32, layers=2, pooling="mean"), inputs(50, 5)
    )
    rng = np.random.default_rng(0)
    tokens = np.array([7, 8, 9, 7, 1])
    for weight in model.trainable_weights:  # without the positions, which are not trainable
        weight.assign(rng.normal(0, 0.3, weight.shape))
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    norms = [weights[name] for name in weights if name.startswith("layer_normalization")]

    def add(values: np.ndarray, part: np.ndarray) -> Any:
        scale, offset = norms.pop(0)
        centered = values + part - (values + part).mean(axis=1, keepdims=True)
        return scale * centered / np.sqrt((centered**2).mean(1, keepdims=True) + 1e-3) + offset

    angles = np.arange(1, 6)[:, None] / 10_000 ** (np.arange(0, 64, 2) / 64)
    x = 8 * weights["embedding"][0][tokens] + np.hstack([np.sin(angles), np.cos(angles)])
    for block in ("", "_2"):
        *projections, out, out_bias = weights[f"attention{block}"]
        query, key, value = (
            np.einsum("tf,fhd->htd", x, kernel) + bias[:, None]
            for kernel, bias in zip(projections[::2], projections[1::2], strict=True)
        )
        weighted = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(32))
        heads = weighted / weighted.sum(axis=2, keepdims=True) @ value
        x = add(x, np.einsum("htd,hdf->tf", heads, out) + out_bias)
        up, up_bias = weights[f"hidden{block}"]
        down, down_bias = weights[f"feed_forward{block}"]
        x = add(x, np.maximum(x @ up + up_bias, 0) @ down + down_bias)
    kernel, bias = weights["probability"]
    logit = float((x.mean(axis=0) @ kernel + bias)[0])
    assert float(model(tokens[None])[0, 0]) == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
