"""Projects that tests of several capabilities read."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sharer, stand_in
from tests.extras.planted import run_everything
from tests.project import Project

SWEEP_SETTINGS: dict[str, Any] = {
    "confirm": {"top": 1, "seeds": 2},
    "space": {
        "train.units": {"choices": [3, 4, 5]},
        "train.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "pad.max_length": {"low": 30, "high": 60, "step": 10},
    },
}


@pytest.fixture(scope="session")
def swept(finished: Project, shared: Sharer) -> Project:
    """A finished project after a sweep of three trials."""

    def search(project: Project) -> None:
        project.change(sweep=SWEEP_SETTINGS)
        project.run("git", "commit", "--all", "--quiet", "--message", "space")
        project.run("python", "-m", "extras.sweep", "--trials", "3", "--workers", "1")

    return shared("swept", search, finished.path)


@pytest.fixture(scope="session")
def fitted(finished: Project, shared: Sharer) -> Project:
    """A finished project after its linear models were fitted, too.

    What the command printed is in the file `output` beside it.
    """

    def fit(project: Project) -> None:
        output = project.run("dvc", "repro", "extras/baseline/dvc.yaml")
        project.path.with_name("output").write_text(output, encoding="utf-8")
        project.commit()

    return shared("fitted", fit, finished.path)


@pytest.fixture(scope="session")
def grouped(finished: Project, shared: Sharer) -> Project:
    """A finished project with a group of two seeds, the first of them that of `data/`."""

    def group_seeds(project: Project) -> None:
        project.run("python", "-m", "extras.seeds", "--count", "2")

    return shared("grouped", group_seeds, finished.path)


@pytest.fixture
def group(grouped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `grouped` of one's own, which is the working directory."""
    project = grouped.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


@pytest.fixture(scope="session")
def private(own_texts: Project, shared: Sharer) -> Project:
    """A project with secrets and texts of one's own after all commands that could let them out."""
    return shared("private", run_everything, own_texts.path)
