"""Each benchmark starts."""

import importlib

import pytest
from click.testing import CliRunner

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
