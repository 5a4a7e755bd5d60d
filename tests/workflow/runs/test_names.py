"""A run's name says what it is."""

from typing import Any

import pytest

from tests.project import TRANSFORMER
from workflow.params import Params
from workflow.params_file import changed
from workflow.runs.identity import run_name

SHAPING = {"pad.max_length": 200, "fetch.dataset": "imdb"}


@pytest.mark.parametrize(
    ("changes", "shaping", "experiment", "expected"),
    [
        ({}, {}, None, "lstm-64 · len 200 · seed 42"),
        ({"cell": "gru", "units": 8}, {}, None, "gru-8 · len 200 · seed 42"),
        (
            {**TRANSFORMER, "units": 128, "layers": 2, "pooling": "mean"},
            {},
            None,
            "transformer-128 · 2 heads · 2 layers · masked · mean · len 200 · seed 42",
        ),
        (
            {"bidirectional": True, "pooling": "max"},
            {},
            None,
            "bi-lstm-64 · max · len 200 · seed 42",
        ),
        (
            {"forget_bias": 3.0, "recurrent_initializer": "identity", "clip_norm": 1.0},
            {},
            None,
            "lstm-64 · forget 3 · identity · clip 1 · len 200 · seed 42",
        ),
        (
            {"layers": 2, "mask_padding": True, "segment_length": 25, "pooling": "max"},
            {},
            None,
            "lstm-64 · 2 layers · masked · segments 25 · max · len 200 · seed 42",
        ),
        (
            {"dropout.word": 0.3, "label_smoothing": 0.1, "weight_decay": 0.01, "average": 0.998},
            {},
            None,
            "lstm-64 · word dropout 0.3 · smoothing 0.1 · decay 0.01 · average 0.998 · len 200 · "
            "seed 42",
        ),
        (
            {"embedding_initializer": "cooccurrence", "bigrams.units": 32, "adversarial": 5.0},
            {},
            None,
            "lstm-64 · cooccurrence · bigrams 32 · adversarial 5 · len 200 · seed 42",
        ),
        (
            {"schedule.kind": "cosine", "schedule.warmup_epochs": 0.5, "keep_best": True},
            {},
            None,
            "lstm-64 · cosine · warm-up 0.5 · best epoch · len 200 · seed 42",
        ),
        (
            {},
            {"fetch.dataset": "synthetic"},
            "bold",
            "lstm-64 · len 200 · seed 42 · synthetic · bold",
        ),
    ],
)
def test_a_run_is_named_after_its_model_and_what_is_unusual(
    default_params: Params,
    changes: dict[str, Any],
    shaping: dict[str, Any],
    experiment: str | None,
    expected: str,
) -> None:
    params = changed(default_params, {f"train.{name}": x for name, x in changes.items()}).train
    assert run_name(params, SHAPING | shaping, experiment) == expected
