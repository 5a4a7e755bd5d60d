"""The core stays small enough to be read."""

from pathlib import Path

from tests.project import ROOT
from tests.stages.test_dvc_yaml import STAGES, imported, needed

MODULES, LINES, LONGEST = 45, 6600, 300


def core() -> list[Path]:
    """The modules that the stages reach, with those that are packed with a model."""
    waiting = {ROOT / path for stage in STAGES for path in needed(ROOT / f"stages/{stage}.py")}
    reached = set[Path]()
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= imported(path) - reached
    return [path for path in reached if path.name != "__init__.py"]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_the_core_has_few_modules_and_lines() -> None:
    modules = core()
    assert len(modules) <= MODULES
    assert sum(map(lines, modules)) <= LINES


def test_no_module_of_the_core_is_long() -> None:
    assert {str(path.relative_to(ROOT)) for path in core() if lines(path) > LONGEST} == set()


def test_no_two_modules_of_the_core_share_a_name() -> None:
    names = [path.name for path in core()]
    assert sorted(names) == sorted(set(names))
