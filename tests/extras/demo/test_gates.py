"""The gates of the page are the ones that Keras computes with."""

from typing import Any

import numpy as np
import pytest

from extras.demo import gates
from sentiment.network.architectures import recurrent_layers
from sentiment.network.model import build_model
from sentiment.network.params import TrainParams
from tests.conftest import defaults, inputs
from tests.project import SMALL, merge_changes
from workflow.params import validate_params

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
ROW = np.array([0, 0, 3, 7, 1, 4, 1, 1])


def small(**changes: Any) -> TrainParams:
    """Return the params of a small training, with some of them changed."""
    document = merge_changes(merge_changes(defaults(), SMALL), {"train": changes})
    return validate_params(document, "params.yaml").train


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        (
            {"bidirectional": True, "layers": 2, "mask_padding": True},
            [None, None, *(slice(2, n + 1) for n in range(2, 6))],
        ),
        (
            {"segment_length": 4, "pooling": "max"},
            [*(slice(n + 1) for n in range(4)), slice(4, 5), slice(4, 6)],
        ),
    ],
    ids=["the first of two, padding is skipped", "segments"],
)
def test_cell_state_equals_that_of_keras(changes: dict[str, Any], seen: list[slice | None]) -> None:
    import keras

    model = build_model(small(**changes), inputs(20, len(ROW)))
    vectors = model.get_layer("embedding").get_weights()[0][ROW]
    state = keras.layers.LSTM(4, return_state=True)
    state(vectors[None])
    state.set_weights(recurrent_layers(model)[0].get_weights())
    at_tokens = gates.gates_by_token(model)
    assert at_tokens
    for step, part in zip(at_tokens(ROW), seen, strict=False):
        cell = state(vectors[None, part])[2] if part else 0
        assert step.cell == pytest.approx(float(np.linalg.norm(cell)), rel=1e-5)


def test_gates_are_the_means_over_the_units() -> None:
    model = build_model(small(), inputs(20, len(ROW)))
    (layer,) = recurrent_layers(model)
    kernel, recurrent, bias = (np.zeros_like(weight) for weight in layer.get_weights())
    units = len(recurrent)
    bias[:units] = 1.0  # input gate
    bias[units : 2 * units] = [0, 1, 2, 3]  # forget gate
    bias[3 * units :] = -50.0  # output gate
    layer.set_weights([kernel, recurrent, bias])
    at_tokens = gates.gates_by_token(model)
    assert at_tokens
    forget_gate = np.mean(1 / (1 + np.exp(-np.arange(4.0))))
    input_gate = 1 / (1 + np.exp(-1))
    assert at_tokens(ROW)[0] == pytest.approx((forget_gate, input_gate, 0, 0), abs=1e-6)


def test_model_without_an_lstm_has_no_gates() -> None:
    assert gates.gates_by_token(build_model(small(cell="gru"), inputs(20, len(ROW)))) is None
