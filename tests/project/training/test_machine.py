"""The tags of a machine name all that the bits of a training depend on beside its files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sentiment.project.training import machine
from sentiment.project.training.machine import machine_changes, machine_tags

TAGS = {"processor": "Zen 4", "threads": "default", "tensorflow": "2.20.0"}
Change = Callable[[pytest.MonkeyPatch], None]
MACHINES: dict[str, tuple[Change, str]] = {
    "processor": (
        lambda patch: patch.setattr(machine, "processor_name", lambda: "Other CPU"),
        "processor",
    ),
    "GPU": (
        lambda patch: patch.setattr(
            "tensorflow.config.list_physical_devices", lambda *_: ["GPU:0"]
        ),
        "processor",
    ),
    "threads": (lambda patch: patch.setenv("TF_NUM_INTRAOP_THREADS", "1"), "threads"),
    "XLA": (
        lambda patch: patch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=128"),
        "xla",
    ),
    "oneDNN": (lambda patch: patch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2"), "onednn"),
    "packages": (
        lambda patch: patch.setattr(machine, "package_versions", lambda: {"keras": "0.1"}),
        "keras",
    ),
}


def test_a_change_is_named_with_the_values_then_and_now() -> None:
    now = {**TAGS, "processor": "Zen 5", "tensorflow": "2.21.0"}
    assert machine_changes(TAGS, TAGS) == {}
    assert machine_changes(TAGS, now) == {
        "processor": ("Zen 4", "Zen 5"),
        "tensorflow": ("2.20.0", "2.21.0"),
    }


def test_tags_that_are_of_no_machine_are_no_change() -> None:
    assert machine_changes({**TAGS, "mlflow.source.git.commit": "0123"}, TAGS) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "tag"), MACHINES.values(), ids=MACHINES)
def test_whatever_changes_the_bits_of_a_training_changes_a_tag(
    monkeypatch: pytest.MonkeyPatch, change: Change, tag: str
) -> None:
    before = machine_tags()
    change(monkeypatch)
    assert set(machine_changes(before, machine_tags())) == {tag}


def test_a_processor_has_the_name_that_linux_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("cpu MHz\t: 2400\nmodel name\t: Zen 4\n", encoding="utf-8")
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    assert machine.processor_name() == "Zen 4"


def test_a_processor_without_a_name_is_called_after_its_architecture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", Path("absent"))
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert machine.processor_name() == "arm64"
