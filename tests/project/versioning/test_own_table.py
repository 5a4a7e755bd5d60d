"""Tables of one's own texts: their paths, and who tracks them."""

from pathlib import Path

import pytest

from sentiment.params import FetchParams, TableParams
from sentiment.project.files.paths import Project
from sentiment.project.versioning.own_table import (
    is_tracked,
    project_path,
    tracking_advice,
)
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow


def own(*paths: str) -> FetchParams:
    """Return params of a dataset whose training set is the first table, and test set the last."""
    table = TableParams(train=paths[0], test=paths[-1])
    return FetchParams(dataset="table", table=table)


def test_the_path_of_a_table_is_relative_in_the_project_and_absolute_elsewhere(
    in_tmp_path: Path,
) -> None:
    assert project_path(Project.here(), in_tmp_path / "texts" / "a.csv") == "texts/a.csv"
    assert project_path(Project.here(), Path("texts/../a b.csv")) == "a b.csv"
    assert project_path(Project.here(), Path("../a.csv")) == str(in_tmp_path.parent / "a.csv")


@pytest.fixture
def repository(in_tmp_path: Path) -> ProjectCopy:
    """Return an empty repository, which is the working directory."""
    project = ProjectCopy(in_tmp_path)
    project.run("git", "init", "--quiet")
    (in_tmp_path / "texts").mkdir()
    for name in ("a.csv", "texts/a.csv"):
        (in_tmp_path / name).touch()
    return project


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("table", "pointer"),
    [("a.csv", "a.csv.dvc"), ("texts/a.csv", "texts.dvc"), ("texts", "texts.dvc")],
)
def test_dvc_tracks_a_table_by_a_file_beside_it_or_beside_its_folder(
    table: str, pointer: str
) -> None:
    assert not is_tracked(Project.here(), Path(table))
    Path(pointer).touch()
    assert is_tracked(Project.here(), Path(table))


def test_git_tracks_a_table_that_was_added(repository: ProjectCopy) -> None:
    repository.run("git", "add", "a.csv")
    assert is_tracked(Project.here(), Path("a.csv"))


def test_a_folder_with_a_new_file_is_not_tracked(repository: ProjectCopy) -> None:
    repository.run("git", "add", "texts")
    assert is_tracked(Project.here(), Path("texts"))
    (repository.path / "texts" / "new.csv").touch()
    assert not is_tracked(Project.here(), Path("texts"))


@pytest.mark.usefixtures("repository")
def test_each_table_that_nobody_tracks_is_named_with_what_keeps_it() -> None:
    assert tracking_advice(Project.here(), FetchParams(table=TableParams(train="a.csv"))) == []
    assert tracking_advice(Project.here(), own("my a.csv", "/else/b.csv")) == [
        "Neither git nor DVC tracks my a.csv, so `dvc exp run --temp` will not find it: dvc add "
        "'my a.csv'",
        "/else/b.csv is outside the project, so neither git nor DVC can keep it. Copy it here.",
    ]
