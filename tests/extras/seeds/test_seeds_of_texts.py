"""`make seeds` trains in copies of the project, where the texts have to be, too."""

from pathlib import Path

import pytest

from extras.seeds import __main__ as seeds
from extras.seeds import experiments
from tests.conftest import Caller, stand_in
from tests.own_texts import NAME, use_table, write_texts
from tests.project import Project
from workflow.params import load_params


@pytest.fixture
def project(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of one's own of a project that was trained on a table; it is the working directory."""
    project = own_texts.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def test_texts_that_copies_lack_are_named_with_what_to_do(project: Project, call: Caller) -> None:
    project.run("git", "rm", "--quiet", "--cached", "--", NAME)
    project.run("git", "commit", "--quiet", "--message", "without")
    message = call.fail(seeds.main, "--count", "2")
    assert f"{NAME} is known neither to git nor to DVC" in message
    assert f"dvc add '{NAME}'" in message


def test_a_path_out_of_the_project_has_to_be_absolute(project: Project, call: Caller) -> None:
    write_texts(project.path.parent / "outside.csv", seed=0)
    use_table(project, "../outside.csv")
    message = call.fail(seeds.main, "--count", "2")
    assert "../outside.csv is outside the project" in message
    assert "absolute path" in message


def test_other_texts_are_other_trainings_however_they_are_known(project: Project) -> None:
    params = load_params()
    before = experiments.short_key(params)
    project.run("git", "rm", "--quiet", "--cached", "--", NAME)
    project.run("dvc", "add", NAME)
    project.commit()
    assert experiments.short_key(params) == before
    write_texts(project.path / NAME, seed=1)
    assert experiments.short_key(params) != before
