"""Each extra is one folder in `extras/`, and the project works without it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT, Project
from tests.stages.test_dvc_yaml import imported_modules
from tests.test_docs import dead_links, make_targets

COMMON = "common"  # what several extras import
EXTRAS = sorted(
    path.parent.name for path in ROOT.glob("extras/*/__init__.py") if path.parent.name != COMMON
)
OWN_FOLDERS = ("extras", "tests/extras", "benchmarks")


def remove_extra(name: str, root: Path) -> None:
    """Remove an extra from a copy of the project, as CONTRIBUTING.md says."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\|.*`extras/{name}/`.*\n", text, re.MULTILINE)
    readme.write_text(text.replace(row, ""), encoding="utf-8")
    for folder in OWN_FOLDERS:
        shutil.rmtree(root / folder / name, ignore_errors=True)


def own_targets(name: str) -> set[str]:
    """Return the `make` targets of an extra."""
    path = ROOT / "extras" / name / "targets.mk"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def belongs_to(name: str, path: Path) -> bool:
    """Return whether a module belongs to an extra, its tests and benchmarks included."""
    return any(path.is_relative_to(ROOT / folder / name) for folder in OWN_FOLDERS)


def test_nothing_else_imports_an_extra() -> None:
    joint_tests = ROOT / "tests" / "extras"  # its modules test several extras
    importing = {
        (str(path.relative_to(ROOT)), name)
        for folder in ("stages", "sentiment", "workflow", "tools", "extras", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for module in imported_modules(path)
        for name in EXTRAS
        if belongs_to(name, module) and not belongs_to(name, path) and path.parent != joint_tests
    }
    assert importing == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTRAS)
def test_contracts_targets_and_links_hold_without_an_extra(
    clone: Project, name: str, tmp_path: Path
) -> None:
    root = clone.copy(tmp_path / "project").path
    remove_extra(name, root)
    assert make_targets(root) == make_targets(ROOT) - own_targets(name)
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(lint, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    pages = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("extras/*/*.md")]
    dead = {str(page.relative_to(root)): dead_links(page) for page in pages}
    assert {page: links for page, links in dead.items() if links} == {}
