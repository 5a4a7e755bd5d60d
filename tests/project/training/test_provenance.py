"""A run has tags and a diff that say where it comes from."""

import hashlib
import importlib
import shutil
import sys
from pathlib import Path

import pytest

from sentiment.project.files.paths import Project
from sentiment.project.training import machine, provenance
from sentiment.project.training.provenance import UncommittedChanges
from tests.small_project import ProjectCopy

SECRET = "AKIAPLANTED"
HOLDING_SECRETS = (".env", ".dvc/config.local", "review.txt", "reviews.json", "reviews.csv~")
NO_CHANGES = UncommittedChanges(diff="", flaws=[], files={})
DVC_YAML = """
stages:
  fetch:
    deps: ["${fetch.table.train}"]
  train:
    deps: [data/pad, code.py, network, metrics/history.csv]
  report:
    cmd: a stage that a user has added
"""


def changes_of(*tables: str) -> UncommittedChanges:
    """Return what the last commit lacks in the working directory."""
    return provenance.uncommitted_changes(Project.here(), map(Path, tables))


def md5(text: str) -> str:
    return f"md5 {hashlib.md5(text.encode()).hexdigest()}"


@pytest.mark.slow
@pytest.mark.usefixtures("in_tmp_path")
def test_a_folder_without_git_is_said_to_have_no_commit() -> None:
    Path("dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    (flaw,) = changes_of().flaws
    assert "no commit" in flaw
    assert provenance.COMMIT not in provenance.provenance_tags(Project.here(), NO_CHANGES)


@pytest.fixture(scope="module")
def repository_once(tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """Make a repository with a module that a stage reads, and files that may hold secrets."""
    folder = tmp_path_factory.mktemp("repository")
    project = ProjectCopy(folder)
    (folder / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    for path in ("code.py", "params.yaml", *HOLDING_SECRETS):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("before\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all", "--force")
    project.run("git", "commit", "--quiet", "--message", "state")
    return project


@pytest.fixture
def repository(repository_once: ProjectCopy, in_tmp_path: Path) -> ProjectCopy:
    """Copy the repository into the working directory of a test."""
    shutil.copytree(repository_once.path, in_tmp_path, dirs_exist_ok=True)
    return ProjectCopy(in_tmp_path)


@pytest.mark.slow
def test_a_run_has_the_commit_and_the_machine_and_no_more_if_nothing_has_changed(
    repository: ProjectCopy,
) -> None:
    assert changes_of() == NO_CHANGES
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
    changes = changes_of()
    assert SECRET not in changes.diff
    assert changes.flaws == []
    (repository.path / "changes").write_text(f"{changes.diff}\n", encoding="utf-8")
    repository.run("git", "checkout", "--quiet", ".")
    repository.run("git", "apply", "changes")
    assert (repository.path / "code.py").read_text(encoding="utf-8") == "x = 1\n\n"
    assert (repository.path / "params.yaml").read_text(encoding="utf-8") == "units: 32\n"


@pytest.mark.slow
def test_a_password_is_taken_out_of_the_diff_which_says_so(repository: ProjectCopy) -> None:
    (repository.path / "code.py").write_text("url = 'http://ann:word@host'\n", encoding="utf-8")
    changes = changes_of()
    assert "+url = 'http://host'" in changes.diff
    assert changes.flaws == ["a password or the query of a URL was taken out of the diff"]


@pytest.mark.slow
def test_a_byte_of_code_that_is_not_utf_8_is_said(repository: ProjectCopy) -> None:
    (repository.path / "code.py").write_bytes(b"# caf\xe9\n")
    (flaw,) = changes_of().flaws
    assert "not UTF-8" in flaw


@pytest.mark.slow
def test_a_diff_that_fails_is_said(repository: ProjectCopy) -> None:
    (repository.path / "code.py").write_text("x = 1\n", encoding="utf-8")
    tree = repository.read("git", "rev-parse", "HEAD^{tree}").strip()
    (repository.path / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    (flaw,) = changes_of().flaws
    assert "`git diff` failed" in flaw


@pytest.mark.slow
@pytest.mark.parametrize("name", ["network/layers/new.py", "network/words.txt"])
def test_a_file_of_code_that_git_does_not_track_or_ignores_is_named(
    repository: ProjectCopy, name: str
) -> None:
    (repository.path / ".gitignore").write_text("words.txt\n", encoding="utf-8")
    (repository.path / name).parent.mkdir(parents=True)
    (repository.path / name).write_text("new", encoding="utf-8")
    assert changes_of().files == {name: md5("new")}


@pytest.mark.slow
def test_a_repository_in_a_folder_of_code_is_named(repository: ProjectCopy) -> None:
    nested = repository.path / "network" / "nested"
    nested.mkdir(parents=True)
    ProjectCopy(nested).run("git", "init", "--quiet")
    assert changes_of().files == {"network/nested": "a folder"}


@pytest.mark.slow
def test_code_that_git_takes_for_binary_is_in_the_diff(repository: ProjectCopy) -> None:
    (repository.path / ".gitattributes").write_text("*.py binary\n", encoding="utf-8")
    (repository.path / "code.py").write_text("x = 1\n", encoding="utf-8")
    assert "+x = 1" in changes_of().diff


@pytest.mark.slow
def test_a_changed_file_of_code_that_is_no_python_is_named(repository: ProjectCopy) -> None:
    (repository.path / "network").mkdir()
    for name in ("words.txt", "gone.txt"):
        (repository.path / "network" / name).write_text("before", encoding="utf-8")
    repository.commit()
    (repository.path / "network" / "words.txt").write_text("after", encoding="utf-8")
    (repository.path / "network" / "gone.txt").unlink()
    assert changes_of().files == {"network/words.txt": md5("after"), "network/gone.txt": "deleted"}


@pytest.mark.slow
@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_module_that_was_imported_and_that_git_lacks_is_named(
    repository: ProjectCopy, monkeypatch: pytest.MonkeyPatch, is_ignored: bool
) -> None:
    if is_ignored:
        (repository.path / ".gitignore").write_text("helper_of_mine.py\n", encoding="utf-8")
    module = repository.path / "helper_of_mine.py"
    module.write_text("x = 1\n", encoding="utf-8")
    assert changes_of() == NO_CHANGES
    monkeypatch.syspath_prepend(repository.path)
    importlib.import_module("helper_of_mine")
    try:
        assert changes_of().files == {"helper_of_mine.py": md5("x = 1\n")}
    finally:
        del sys.modules["helper_of_mine"]


@pytest.mark.slow
def test_a_table_that_git_tracks_is_named_if_it_was_changed(repository: ProjectCopy) -> None:
    assert changes_of("reviews.csv~") == NO_CHANGES
    (repository.path / "reviews.csv~").write_text(SECRET, encoding="utf-8")
    changes = changes_of("reviews.csv~")
    assert changes.files == {"reviews.csv~": md5(SECRET)}
    assert SECRET not in changes.diff
    assert changes_of() == NO_CHANGES  # no stage reads it


@pytest.mark.slow
def test_a_table_that_dvc_tracks_is_named_if_the_commit_has_another_one(
    repository: ProjectCopy,
) -> None:
    (repository.path / ".dvc" / "config.local").unlink()
    (repository.path / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    (repository.path / "params.yaml").write_text("{}\n", encoding="utf-8")
    (repository.path / ".dvc" / "config").touch()
    table = repository.path / "own.csv"
    table.write_text("first", encoding="utf-8")
    assert changes_of("own.csv").files == {"own.csv": md5("first")}
    repository.run("dvc", "add", "--quiet", "own.csv")
    repository.commit()
    assert changes_of("own.csv") == NO_CHANGES
    table.write_text("second", encoding="utf-8")
    repository.run("dvc", "add", "--quiet", "own.csv")
    assert changes_of("own.csv").files.keys() == {"own.csv", "own.csv.dvc"}
    assert changes_of("own.csv").files["own.csv"] == md5("second")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["notes.py", "data/pad/x.py", "metrics/history.csv"])
def test_a_file_that_is_no_code_of_a_stage_is_not_named(repository: ProjectCopy, name: str) -> None:
    (repository.path / name).parent.mkdir(parents=True, exist_ok=True)
    (repository.path / name).touch()
    assert changes_of() == NO_CHANGES


@pytest.mark.slow
def test_a_long_diff_is_cut_and_says_so(
    repository: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "MAX_DIFF_BYTES", 100)
    (repository.path / "code.py").write_text("x = 1\n" * 1000, encoding="utf-8")
    changes = changes_of()
    assert changes.diff.endswith("\n[cut after 100 bytes]")
    assert changes.flaws == ["the diff is cut after 100 bytes"]


@pytest.mark.slow
def test_all_that_a_run_lacks_is_in_one_tag() -> None:
    changes = UncommittedChanges("", ["a password was taken out"], {"new.py": "md5 0123"})
    assert provenance.provenance_tags(Project.here(), changes)["unrecorded"] == (
        "a password was taken out; new.py (md5 0123)"
    )
    many = changes._replace(files={f"{number}.py": "md5 0123" for number in range(1000)})
    tag = provenance.provenance_tags(Project.here(), many)["unrecorded"]
    assert len(tag) == provenance.MAX_TAG_CHARACTERS
    assert tag.startswith("a password was taken out; ")
    assert tag.endswith("and more")
    assert many.describe(with_md5=False).endswith("; 9.py; and 990 more")
