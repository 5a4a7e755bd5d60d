"""A run says what it is and where it was trained."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.project import TRANSFORMER
from workflow.params import Params
from workflow.params_file import changed
from workflow.runs import identity
from workflow.runs.identity import run_name

SHAPING = {"pad.max_length": 200, "fetch.dataset": "imdb"}
CPUINFO = """\
processor\t: 0
model name\t: Example CPU
flags\t\t: fpu sse4_2 avx avx2 avx512f fma lahf_lm
"""


def test_versions_and_the_vector_units_are_named_where_the_system_says_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "CPUINFO", tmp_path / "cpuinfo")
    described = identity.describe()
    assert described["processor.features"] == "unknown"
    assert int(described["processor.cores"]) > 0
    (tmp_path / "cpuinfo").write_text(CPUINFO, encoding="utf-8")
    described = identity.describe()
    assert described["tensorflow.version"] == version("tensorflow")
    assert described["processor.name"] == "Example CPU"
    assert described["processor.features"] == "avx avx2 avx512f fma sse4_2"


def test_gpus_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "GPUS", tmp_path)
    assert identity.describe()["processor.gpus"] == "none"
    for number in (0, 1):
        (tmp_path / f"0000:0{number}:00.0").mkdir()
        file = tmp_path / f"0000:0{number}:00.0" / "information"
        file.write_text(f"Model: \t\t Example {number}\nIRQ: 5\n", encoding="utf-8")
    assert identity.describe()["processor.gpus"] == "Example 0, Example 1"


def test_settings_that_change_bits_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(identity.VARIABLES)]:
        monkeypatch.delenv(name)
    assert identity.describe()["environment.settings"] == "none"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    named = "OMP_NUM_THREADS=1 ONEDNN_MAX_CPU_ISA=AVX2"
    assert identity.describe()["environment.settings"] == named


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "lstm-64"),
        ({"cell": "gru", "units": 8, "bidirectional": True}, "bi-gru-8"),
        (
            {**TRANSFORMER, "units": 128, "layers": 2, "pooling": "mean"},
            "transformer-128 · 2 heads · 2 layers · masked · mean",
        ),
        (
            {"forget_bias": 3.0, "recurrent_initializer": "identity", "clip_norm": 1.0},
            "lstm-64 · forget 3 · identity · clip 1",
        ),
        (
            {"layers": 2, "mask_padding": True, "segment_length": 25, "pooling": "max"},
            "lstm-64 · 2 layers · masked · segments 25 · max",
        ),
        (
            {"dropout.word": 0.3, "label_smoothing": 0.1, "weight_decay": 0.01, "average": 0.998},
            "lstm-64 · word dropout 0.3 · smoothing 0.1 · decay 0.01 · average 0.998",
        ),
        (
            {"embedding_initializer": "cooccurrence", "bigrams.units": 32, "adversarial": 5.0},
            "lstm-64 · cooccurrence · bigrams 32 · adversarial 5",
        ),
        (
            {"schedule.kind": "cosine", "schedule.warmup_epochs": 0.5},
            "lstm-64 · cosine · warm-up 0.5",
        ),
        ({"keep_best": True}, "lstm-64 · best epoch"),
    ],
)
def test_a_run_is_named_after_its_model_and_what_is_unusual(
    default_params: Params, changes: dict[str, Any], expected: str
) -> None:
    params = changed(default_params, {f"train.{name}": x for name, x in changes.items()}).train
    assert run_name(params, SHAPING, None) == f"{expected} · len 200 · seed 42"


def test_a_run_is_named_after_its_data_and_experiment_too(default_params: Params) -> None:
    synthetic = SHAPING | {"fetch.dataset": "synthetic"}
    name = "lstm-64 · len 200 · seed 42 · synthetic · bold"
    assert run_name(default_params.train, synthetic, "bold") == name
