import os
from importlib.metadata import version
from pathlib import Path

import pytest

from workflow.runs import identity

CPUINFO = """\
processor\t: 0
model name\t: Example CPU
flags\t\t: fpu sse4_2 avx avx2 avx512f fma lahf_lm
"""


def test_versions_and_the_vector_units_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO, encoding="utf-8")
    monkeypatch.setattr(identity, "CPUINFO", tmp_path / "cpuinfo")
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


def test_a_system_without_that_file_is_described_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "CPUINFO", tmp_path / "none")
    described = identity.describe()
    assert described["processor.features"] == "unknown"
    assert int(described["processor.cores"]) > 0
