"""The workflow for pull requests shows the changes of a branch, from files in git alone."""

import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.project import ROOT, Project
from tests.test_docs import tracked_files

pytestmark = pytest.mark.slow
WORKFLOW = Path(".github/workflows/pull-request.yml")
FILES = tracked_files(".ci", ".dvc", ".github", ".gitignore", "data", "dvc.*", "params.yaml")
HISTORY = Path("data/train/history.csv")
METRICS = Path("data/evaluate/metrics.json")


@pytest.fixture
def pull_request(tmp_path: Path) -> Project:
    """Return a branch with other params, metrics and a shorter training than its base, `main`.

    It has neither outputs that git does not track, nor code.
    """
    project = Project(tmp_path / "project")
    for path in FILES:
        copy = project.path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    project.change(train={"units": 64})
    write_history(project, [0.7, 0.8, 0.75])
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.commit()
    project.run("git", "checkout", "--quiet", "-b", "branch")
    project.change(train={"units": 48})
    metrics = (project.path / METRICS).read_text(encoding="utf-8")
    changed = re.sub(r'"test_accuracy": [0-9.]+', '"test_accuracy": 0.95', metrics)
    (project.path / METRICS).write_text(changed, encoding="utf-8")
    write_history(project, [0.85, 0.9])
    project.commit()
    return project


def write_history(project: Project, val_accuracies: list[float]) -> None:
    rows = [f"{epoch},0.5,{value}" for epoch, value in enumerate(val_accuracies, 1)]
    text = "\n".join(["epoch,loss,val_accuracy", *rows, ""])
    (project.path / HISTORY).write_text(text, encoding="utf-8")


def commands() -> list[str]:
    """Return the commands of the workflow, after the one that builds the environment."""
    (job,) = YAML(typ="safe").load(ROOT / WORKFLOW)["jobs"].values()
    first, *others = [step["run"] for step in job["steps"] if "run" in step]
    assert first == "make venv"
    return others


def test_summary_has_metrics_params_and_the_curve_and_the_plots_are_a_page(
    pull_request: Project, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    for command in commands():
        pull_request.run(
            *("bash", "-e", "-c", command),
            BASE="main",
            GITHUB_STEP_SUMMARY=str(summary),
            GITHUB_PATH=str(tmp_path / "path"),
        )
    text = summary.read_text(encoding="utf-8")
    assert re.search(r"\| data/evaluate/metrics.json \| test_accuracy +\| [\d.]+ +\| 0.95 ", text)
    assert re.search(r"\| params.yaml \| train.units +\| 64 +\| 48 ", text)
    assert "test_recall" not in text
    (chart,) = re.findall(r"```mermaid\n(.*)```\n", text, re.DOTALL)
    assert 'x-axis "epoch" [1, 2, 3]\n' in chart
    assert chart.endswith("  line [0.7000, 0.8000, 0.7500]\n  line [0.8500, 0.9000]\n")
    page = (pull_request.path / "plots/index.html").read_text(encoding="utf-8")
    assert "0.85" in page
    assert "ROC curve" in page


def test_unknown_base_fails(pull_request: Project) -> None:
    assert "nothing" in pull_request.fail(".ci/summary", "nothing")
