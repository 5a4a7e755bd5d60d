"""Each benchmark starts."""

import subprocess
import sys

import pytest

from tests.small_project import ROOT

SCRIPTS = ("notebook.py", "pytorch.py")  # `benchmarks.bench` runs them
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.glob("benchmarks/**/*.py")
    if '"__main__"' in path.read_text(encoding="utf-8")
)


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_a_benchmark_starts(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage:")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_valid_python(script: str) -> None:
    compile((ROOT / "benchmarks" / script).read_text(encoding="utf-8"), script, "exec")
