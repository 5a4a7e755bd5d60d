"""A run has tags and a diff that say where it comes from."""

from pathlib import Path

import pytest

from sentiment.project import machine, provenance
from sentiment.project.paths import Project
from sentiment.project.provenance import UncommittedChanges
from tests.small_project import ProjectCopy

SECRET = "AKIAPLANTED"
HOLDING_SECRETS = (".env", ".dvc/config.local", "review.txt", "reviews.json", "reviews.csv~")
NO_CHANGES = UncommittedChanges(diff="", missing=[])
DVC_YAML = """
stages:
  fetch:
    deps: ["${fetch.table.train}"]
  train:
    deps: [data/pad, code.py, network, metrics/history.csv]
  report:
    cmd: a stage that a user has added
"""


@pytest.mark.slow
@pytest.mark.usefixtures("in_tmp_path")
def test_a_folder_without_git_has_no_changes() -> None:
    Path("dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    assert provenance.uncommitted_changes(Project.here()) == NO_CHANGES
    assert provenance.COMMIT not in provenance.provenance_tags(Project.here(), NO_CHANGES)


@pytest.fixture
def repository(in_tmp_path: Path) -> ProjectCopy:
    """Return a repository with a module that a stage reads, and files that may hold secrets."""
    project = ProjectCopy(in_tmp_path)
    (in_tmp_path / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    for path in ("code.py", "params.yaml", *HOLDING_SECRETS):
        (in_tmp_path / path).parent.mkdir(exist_ok=True)
        (in_tmp_path / path).write_text("before\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all", "--force")
    project.run("git", "commit", "--quiet", "--message", "state")
    return project


@pytest.mark.slow
def test_a_run_has_the_commit_and_the_machine_and_no_more_if_nothing_has_changed(
    repository: ProjectCopy,
) -> None:
    assert provenance.uncommitted_changes(Project.here()) == NO_CHANGES
    tags = provenance.provenance_tags(Project.here(), NO_CHANGES)
    assert tags[provenance.COMMIT] == repository.read("git", "rev-parse", "HEAD").strip()
    assert set(tags) == {provenance.COMMIT, "cores", *machine.machine_tags()}


@pytest.mark.slow
def test_the_url_of_the_repository_has_no_token(repository: ProjectCopy) -> None:
    repository.run("git", "remote", "add", "mine", "https://ann:token@example.org/own.git")
    tags = provenance.provenance_tags(Project.here(), NO_CHANGES)
    assert tags["mlflow.source.git.repoURL"] == "https://example.org/own.git"


@pytest.mark.slow
def test_the_diff_has_the_changes_of_code_and_params_alone(repository: ProjectCopy) -> None:
    for path in HOLDING_SECRETS:
        (repository.path / path).write_text(SECRET, encoding="utf-8")
    (repository.path / "code.py").write_text("x = 1\n\n", encoding="utf-8")
    (repository.path / "params.yaml").write_text("units: 32\n", encoding="utf-8")
    changes = provenance.uncommitted_changes(Project.here())
    assert SECRET not in changes.diff
    assert changes.missing == []
    (repository.path / "changes").write_text(f"{changes.diff}\n", encoding="utf-8")
    repository.run("git", "checkout", "--quiet", ".")
    repository.run("git", "apply", "changes")
    assert (repository.path / "code.py").read_text(encoding="utf-8") == "x = 1\n\n"
    assert (repository.path / "params.yaml").read_text(encoding="utf-8") == "units: 32\n"


@pytest.mark.slow
def test_a_password_is_taken_out_of_the_diff_which_says_so(repository: ProjectCopy) -> None:
    (repository.path / "code.py").write_text("url = 'http://ann:word@host'\n", encoding="utf-8")
    changes = provenance.uncommitted_changes(Project.here())
    assert "+url = 'http://host'" in changes.diff
    assert changes.missing == ["a password or the query of a URL was taken out"]


@pytest.mark.slow
def test_code_of_a_stage_that_git_does_not_track_is_named(repository: ProjectCopy) -> None:
    (repository.path / "network" / "layers").mkdir(parents=True)
    (repository.path / "network" / "layers" / "new.py").touch()
    missing = provenance.uncommitted_changes(Project.here()).missing
    assert missing == ["git does not track network/layers/new.py"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["notes.py", "data/pad/x.py", "metrics/history.csv"])
def test_a_file_that_is_no_code_of_a_stage_is_not_named(repository: ProjectCopy, name: str) -> None:
    (repository.path / name).parent.mkdir(parents=True, exist_ok=True)
    (repository.path / name).touch()
    assert provenance.uncommitted_changes(Project.here()) == NO_CHANGES


@pytest.mark.slow
def test_a_long_diff_is_cut_and_says_so(
    repository: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "MAX_DIFF_BYTES", 100)
    (repository.path / "code.py").write_text("x = 1\n" * 1000, encoding="utf-8")
    changes = provenance.uncommitted_changes(Project.here())
    assert changes.diff.endswith("\n[cut after 100 bytes]")
    assert changes.missing == ["it is cut after 100 bytes"]


@pytest.mark.slow
def test_all_that_the_diff_lacks_is_in_one_tag() -> None:
    changes = UncommittedChanges("", ["a password was taken out", "git does not track new.py"])
    assert provenance.provenance_tags(Project.here(), changes)["git.diff"] == (
        "not complete: a password was taken out; git does not track new.py"
    )
