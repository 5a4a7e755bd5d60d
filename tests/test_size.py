"""The project stays small enough to be read."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.project import ROOT
from tests.stages.test_dvc_yaml import STAGES, imported, needed

MODULES, LINES, LONGEST = 46, 6600, 300
ALL_LINES, TEST_LINES = 13_680, 13_320
ROUNDED = 50  # lines of a package, in the table


def core() -> list[Path]:
    """The modules that the stages reach, with those that are packed with a model."""
    waiting = {ROOT / path for stage in STAGES for path in needed(ROOT / f"stages/{stage}.py")}
    reached = set[Path]()
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= imported(path) - reached
    return [path for path in reached if path.name != "__init__.py"]


def tracked(*patterns: str) -> list[Path]:
    """The Python files that git knows, or would know."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def modules() -> list[Path]:
    """All modules beside tests and benchmarks."""
    return tracked("*.py", ":(exclude)tests", ":(exclude)benchmarks")


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def package(path: Path) -> str:
    """The package that a module is counted in: a capability is one of its own."""
    first, *others = path.relative_to(ROOT).parts[:-1]
    nested = others and first in ("extras", "sentiment", "workflow")
    return f"{first}/{others[0]}" if nested else first


def test_the_core_has_few_modules_and_lines() -> None:
    modules = core()
    assert len(modules) <= MODULES
    assert sum(map(lines, modules)) <= LINES


def test_the_whole_has_few_lines(modules: list[Path]) -> None:
    assert sum(map(lines, modules)) <= ALL_LINES


def test_the_tests_have_few_lines() -> None:
    assert sum(map(lines, tracked("tests/*.py"))) <= TEST_LINES


def test_no_module_is_long(modules: list[Path]) -> None:
    assert {str(path.relative_to(ROOT)) for path in modules if lines(path) > LONGEST} == set()


def test_no_two_modules_share_a_name(modules: list[Path]) -> None:
    names = [path.name for path in modules if path.stem not in ("__init__", "__main__")]
    assert sorted(names) == sorted(set(names))


def test_the_table_in_contributing_says_the_sizes(modules: list[Path]) -> None:
    counted, summed = Counter[str](), Counter[str]()
    for path in modules:
        counted[package(path)] += path.name != "__init__.py"
        summed[package(path)] += lines(path)
    rounded = {name: -(-summed[name] // ROUNDED) * ROUNDED for name in summed}
    table = [f"| `{name}/` | {counted[name]} | {rounded[name]:,} |" for name in sorted(summed)]
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `.*/` \| \d+ \| [\d,]+ \|$", page, re.MULTILINE) == table
