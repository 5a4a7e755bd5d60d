"""`make repro` asks DVC about its remote, and returns its exit status."""

from pathlib import Path

import pytest

from sentiment.data.params import FetchParams
from sentiment.errors import UserError
from tests.project import Project
from workflow import dvc_commands
from workflow.params import Params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return an empty repository of git and DVC, to be copied."""
    project = Project(tmp_path_factory.mktemp("empty"))
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    return project


@pytest.fixture
def repository(
    empty_repository: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Make an empty repository of git and DVC the working directory."""
    project = empty_repository.copy(tmp_path / "repository")
    monkeypatch.chdir(project.path)
    return project


def test_repository_without_a_remote_has_no_default_remote(repository: Project) -> None:
    assert dvc_commands.default_remote() is None
    assert repository.path == Path.cwd()


def test_remote_that_works_has_no_problem(repository: Project) -> None:
    repository.run("dvc", "remote", "add", "--default", "shared", "/tmp/shared")
    assert dvc_commands.default_remote() == "shared"
    assert dvc_commands.remote_problem() == ""


def test_remote_that_cannot_be_reached_has_a_problem_in_one_line(repository: Project) -> None:
    repository.run("dvc", "remote", "add", "--default", "shared", "ssh://127.0.0.1:1/data")
    repository.path.joinpath("file").write_text("content", encoding="utf-8")
    repository.run("dvc", "add", "file")
    problem = dvc_commands.remote_problem()
    assert "Connect call failed" in problem
    assert "\n" not in problem


def test_configuration_that_cannot_be_read_is_one_message(repository: Project) -> None:
    with (repository.path / ".dvc" / "config").open("a", encoding="utf-8") as config:
        config.write("[core")
    with pytest.raises(UserError, match="DVC's configuration cannot be read: configuration error"):
        dvc_commands.default_remote()


def test_exit_status_is_that_of_dvc(repository: Project) -> None:
    stages = "stages:\n  fail:\n    cmd: exit 3\n"
    (repository.path / "dvc.yaml").write_text(stages, encoding="utf-8")
    assert dvc_commands.run_dvc("repro", "--quiet") == 255


def tables_of(default_params: Params, train: str) -> FetchParams:
    table = default_params.fetch.table.model_copy(update={"train": train, "test": train})
    return default_params.fetch.model_copy(update={"dataset": "table", "table": table})


def test_table_in_the_project_may_have_a_name_that_begins_with_dots(default_params: Params) -> None:
    params = tables_of(default_params, "..data/a.csv")
    assert dvc_commands.project_table_files(params) == ["..data/a.csv"]


@pytest.mark.parametrize("path", ["../a.csv", "data/../../a.csv"])
def test_relative_path_out_of_the_project_is_refused(default_params: Params, path: str) -> None:
    with pytest.raises(UserError, match=r"a\.csv is outside the project\. Use its absolute path"):
        dvc_commands.project_table_files(tables_of(default_params, path))
