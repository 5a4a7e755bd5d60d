"""Each capability is one folder in `extras/`, and the rest holds without it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Starter
from tests.project import ROOT, Project
from tests.stages.test_dvc_yaml import STAGES, imported
from tests.test_docs import dead_links, targets

SHARED = "common"  # what several capabilities import
MYPY_CACHE = ROOT / ".mypy_cache"
CAPABILITIES = sorted(
    path.parent.name for path in ROOT.glob("extras/*/__init__.py") if path.parent.name != SHARED
)


def remove(name: str, root: Path) -> None:
    """Remove a capability from a copy of the project, as the README says."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\|.*`extras/{name}/`.*\n", text, re.MULTILINE)
    readme.write_text(text.replace(row, ""), encoding="utf-8")
    for page in re.findall(r"\]\((docs/[\w-]+\.md)\)", row):
        (root / page).unlink()
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


def test_the_core_checks_tests_and_trains_without_any_capability(
    finished: Project, clone: Project, tmp_path: Path, start: Starter
) -> None:
    project = clone.copy(tmp_path / "project")
    for name in CAPABILITIES:
        remove(name, project.path)
    shutil.rmtree(project.path / "tests" / "extras")
    (project.path / "tests" / Path(__file__).name).unlink()
    project.commit()
    if MYPY_CACHE.exists():  # mypy checks again what imports a module that is gone
        shutil.copytree(MYPY_CACHE, project.path / MYPY_CACHE.name)
    commands = (
        ("ruff", "format", "--check", "."),
        ("ruff", "check", "."),
        ("mypy",),
        ("lint-imports", "--no-logo"),
    )
    checks = [start(project, *command) for command in commands]
    project.run("dvc", "repro")
    for check in checks:
        output, _ = check.communicate(timeout=1800)
        assert check.returncode == 0, output
    project.run("python", "-m", "pytest", "-q", "-m", "not slow")
    outputs = [  # models and arrays
        path.relative_to(finished.path)
        for stage in STAGES
        for path in (finished.path / "data" / stage).glob("*.[kn]*")
    ]
    assert Path("data/train/model.keras") in outputs
    for path in outputs:
        assert (finished.path / path).read_bytes() == (project.path / path).read_bytes()
