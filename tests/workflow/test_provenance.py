"""A run says what it is and where it was trained."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from workflow.runs.identity import run_name

from tests.project import TRANSFORMER
from workflow.params import Params
from workflow.params_file import changed
from workflow.runs import identity

SHAPING = {"pad.max_length": 200, "fetch.dataset": "imdb"}
CPUINFO = """\
processor\t: 0
model name\t: Example CPU
flags\t\t: fpu sse4_2 avx avx2 avx512f fma lahf_lm
"""


def test_versions_machine_and_settings_that_change_bits_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO, encoding="utf-8")
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "information").write_text("Model: \t\t Example\n", encoding="utf-8")
    monkeypatch.setattr(identity, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(identity, "GPUS", tmp_path)
    for name in [name for name in os.environ if name.startswith(identity.VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    described = identity.describe()
    assert int(described["processor.cores"]) > 0
    for package in ("tensorflow", "scipy", "scikit-learn"):  # what computes
        assert described[f"{package}.version"] == version(package)
    assert described["processor.name"] == "Example CPU"
    assert described["processor.features"] == "avx avx2 avx512f fma sse4_2"
    assert described["processor.gpus"] == "Example"
    assert described["environment.settings"] == "ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_NUM_THREADS=1"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "lstm-64"),
        (
            {**TRANSFORMER, "units": 128, "layers": 2, "pooling": "mean"},
            "transformer-128 · 2 heads · 2 layers · masked · mean",
        ),
        (
            {"bidirectional": True, "wide.buckets": 9, "dropout.word": 0.3, "clip_norm": 1.0},
            "bi-lstm-64 · wide · word dropout 0.3 · clip 1",
        ),
    ],
)
def test_a_run_is_named_after_its_model_and_what_is_unusual(
    default_params: Params, changes: dict[str, Any], expected: str
) -> None:
    params = changed(default_params, {f"train.{name}": x for name, x in changes.items()}).train
    assert run_name(params, SHAPING, None) == f"{expected} · len 200 · seed 42"
    synthetic = SHAPING | {"fetch.dataset": "synthetic"}
    assert run_name(params, synthetic, "bold").endswith(" · len 200 · seed 42 · synthetic · bold")
