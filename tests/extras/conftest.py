"""Projects that tests of several capabilities read."""

import pytest

from tests.conftest import Sharer
from tests.project import Project


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
