"""Each benchmark starts, and finds the epochs in what the programs print."""

import importlib

import pytest
from click.testing import CliRunner

from benchmarks.bench import epoch_seconds
from sentiment.project.training.progress import epoch_line, header
from tests.small_project import ROOT

SCRIPTS = ("notebook.py", "pytorch.py")  # `benchmarks.bench` runs them
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.glob("benchmarks/**/*.py")
    if '"__main__"' in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_a_benchmark_starts(module: str) -> None:
    done = CliRunner().invoke(importlib.import_module(module).main, ["--help"])
    assert done.exit_code == 0
    assert done.output.startswith("Usage:")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_valid_python(script: str) -> None:
    compile((ROOT / "benchmarks" / script).read_text(encoding="utf-8"), script, "exec")


METRICS = {"loss": 0.4, "accuracy": 0.8, "val_loss": 0.3, "val_accuracy": 0.9}
PIPELINE = [
    (0, header()),
    (20, epoch_line(1, 5, 20, METRICS)),
    (31, epoch_line(2, 5, 11, METRICS)),
    (43, epoch_line(3, 5, 12, METRICS)),
    (56, epoch_line(4, 5, 13, METRICS)),
    (70, epoch_line(5, 5, 14, METRICS)),
]
NOTEBOOK = [
    (0, "Epoch 1/5"),
    (20, "313/313 - 20s - 64ms/step - accuracy: 0.8"),
    (20, "Epoch 2/5"),
    (31, "Epoch 3/5"),
    (43, "Epoch 4/5"),
    (56, "Epoch 5/5"),
    (70, "313/313 - 14s - 45ms/step - accuracy: 0.8"),
]


@pytest.mark.parametrize(
    ("printed", "seconds"), [(PIPELINE, [12, 13, 14]), (NOTEBOOK, [11, 12, 13])]
)
def test_epochs_are_measured_without_the_first(
    printed: list[tuple[float, str]], seconds: list[float]
) -> None:
    assert epoch_seconds(printed) == seconds
