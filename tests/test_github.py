"""The summary of a pull request."""

import shutil
from pathlib import Path

import pytest

from tests.project import ROOT, Project

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]


@pytest.fixture
def branch(finished_once: Project, tmp_path: Path) -> Project:
    """Return a project with a commit without results, and one with results and another param."""
    project = finished_once.copy(tmp_path / "project")
    shutil.copytree(ROOT / ".github", project.path / ".github")
    project.change(train={"units": 5})
    project.run("git", "add", "--force", "metrics", "params.yaml")
    project.run("git", "commit", "--quiet", "--message", "results")
    return project


def test_a_base_without_results_is_said_and_is_no_error(branch: Project) -> None:
    printed = branch.run(".github/compare_results", "HEAD~")
    assert "train.units" in printed
    assert "nobody has committed dvc.lock and metrics/ in HEAD~" in printed


def test_metrics_and_both_curves_are_shown(branch: Project) -> None:
    printed = branch.run(".github/compare_results", "HEAD")
    rows = (branch.path / "metrics/history.csv").read_text(encoding="utf-8").split()[1:]
    accuracies = [round(float(row.split(",")[3]), 4) for row in rows]
    assert printed.count(f"  line {accuracies}\n") == 2
    assert f'x-axis "epoch" {list(range(1, len(accuracies) + 1))}\n' in printed
