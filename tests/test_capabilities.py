"""Each capability is one folder in `extras/`, and the rest holds without it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT, Project
from tests.stages.test_dvc_yaml import imported
from tests.test_docs import dead_links, targets

SHARED = "common"  # what several capabilities import
CAPABILITIES = sorted(
    path.parent.name for path in ROOT.glob("extras/*/__init__.py") if path.parent.name != SHARED
)


def remove(name: str, root: Path) -> None:
    """Remove a capability from a copy of the project, as the README says."""
    for page in (root / "README.md", root / "CONTRIBUTING.md"):
        text = page.read_text(encoding="utf-8")
        (row,) = re.findall(rf"^\|.*`extras/{name}/`.*\n", text, re.MULTILINE)
        page.write_text(text.replace(row, ""), encoding="utf-8")
        for own in re.findall(r"\]\((docs/[\w-]+\.md)\)", row):
            (root / own).unlink()
    for folder in ("extras", "tests/extras", "benchmarks"):
        shutil.rmtree(root / folder / name, ignore_errors=True)


def own_targets(name: str) -> set[str]:
    path = ROOT / "extras" / name / "targets.mk"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def belongs_to(name: str, path: Path) -> bool:
    """Whether a module is the capability's own, its tests and benchmarks included."""
    return any(
        path.is_relative_to(ROOT / folder / name)
        for folder in ("extras", "tests/extras", "benchmarks")
    )


def test_nothing_else_imports_a_capability() -> None:
    together = ROOT / "tests" / "extras"  # tests of several capabilities
    importing = {
        (str(path.relative_to(ROOT)), name)
        for folder in ("stages", "sentiment", "workflow", "tools", "extras", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for module in imported(path)
        for name in CAPABILITIES
        if belongs_to(name, module) and not belongs_to(name, path) and path.parent != together
    }
    assert importing == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", CAPABILITIES)
def test_without_a_capability_contracts_targets_and_links_hold(
    clone: Project, name: str, tmp_path: Path
) -> None:
    root = clone.copy(tmp_path / "project").path
    remove(name, root)
    assert targets(root) == targets(ROOT) - own_targets(name)
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(lint, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    pages = [root / "README.md", root / "CONTRIBUTING.md", *root.glob("docs/*.md")]
    assert {page.name: dead_links(page) for page in pages if dead_links(page)} == {}


@pytest.mark.slow
def test_tests_of_the_core_import_without_any_capability(clone: Project, tmp_path: Path) -> None:
    project = clone.copy(tmp_path / "project")
    for name in CAPABILITIES:
        remove(name, project.path)
    shutil.rmtree(project.path / "tests" / "extras")
    (project.path / "tests" / Path(__file__).name).unlink()
    project.run("python", "-m", "pytest", "--collect-only", "--quiet")
