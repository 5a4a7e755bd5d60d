"""Secrets and private texts stay where the user put them, as docs/datasets.md says."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from extras.compare import __main__ as compare
from tests.conftest import Caller, own_copy
from tests.extras.planted import PRIVATE, SECRETS
from tests.own_texts import NAME
from tests.project import Project

pytestmark = pytest.mark.slow
MLFLOW = ("mlruns", "mlflow.db*", "reports")
WRITTEN = (*MLFLOW, "data", "remote", ".dvc/cache", ".dvc/tmp", ".checkpoints")


@pytest.fixture(scope="module")
def unlogged(private: Project) -> Project:
    """The project before texts were logged."""
    return Project(private.path.with_name("unlogged"))


@pytest.fixture(scope="module")
def texts(private: Project) -> list[bytes]:
    """All sequences of three words in some rows of the tables. Nothing else contains them.

    Every eleventh row says the opposite of its label, so it is predicted wrong.
    """
    parts = set()
    for path in (private.path / NAME, private.path.parent / PRIVATE):
        for row in path.read_text(encoding="utf-8").lower().splitlines()[1::11]:
            words = row.split()[:12]
            parts |= {" ".join(words[at : at + 3]).encode() for at in range(len(words) - 2)}
    return sorted(parts)


def holding(project: Project, patterns: Iterable[str], wanted: Collection[bytes]) -> set[str]:
    """Return the files that contain one of these in their name or content, ignoring case.

    Args:
        project: the project.
        patterns: glob patterns of the files and folders to search.
        wanted: what to search for.
    """
    pattern = re.compile(b"|".join(re.escape(part.lower()) for part in wanted))
    paths = [path for glob in patterns for path in project.path.glob(glob)]
    searched = [path for folder in paths for path in (folder, *folder.rglob("*")) if path.is_file()]
    return {
        name
        for path in searched
        if pattern.search(f"{(name := str(path.relative_to(project.path)))}\n".lower().encode())
        or pattern.search(path.read_bytes().lower())
    }


def test_texts_that_are_not_logged_are_only_in_the_remote_and_the_cache(
    unlogged: Project, texts: list[bytes]
) -> None:
    assert holding(unlogged, MLFLOW, texts) == set()
    table = {"remote", ".dvc/cache"}  # after `dvc add`, the table itself
    assert {name.rpartition("/files/")[0] for name in holding(unlogged, WRITTEN, texts)} == table
    words = (unlogged.path / "data/fetch/word_index.json").read_bytes()
    assert any(path.read_bytes() == words for path in unlogged.path.glob("remote/files/md5/*/*"))


def test_texts_that_are_logged_are_only_in_mistakes_and_reports(
    private: Project, unlogged: Project, texts: list[bytes]
) -> None:
    logged = holding(private, MLFLOW, texts)
    assert {Path(name).name for name in logged} == {
        "comparison.json",
        "mistakes.csv",
        "report.html",
    }
    assert all(holding(private, [place], texts) for place in ("mlruns", "reports/*/report.html"))
    before = holding(unlogged, ["remote"], texts)
    (mistakes,) = holding(private, ["remote"], texts) - before
    own = (private.path / "data/evaluate/mistakes.csv").read_bytes()
    assert (private.path / mistakes).read_bytes() == own


def test_git_has_no_texts(private: Project, texts: list[bytes]) -> None:
    assert NAME not in private.run("git", "ls-files").splitlines()
    own_files = ("--", ".", ":(exclude)tests")  # the tests contain these words
    in_git = private.run("git", "log", "--patch", "--all", *own_files).lower().encode()
    assert not any(text in in_git for text in texts)


def test_no_secret_is_written_and_neither_secret_nor_text_is_printed(
    private: Project, texts: list[bytes]
) -> None:
    assert holding(private, WRITTEN, SECRETS) == set()
    printed = private.path.with_name("printed").read_text(encoding="utf-8").lower().encode()
    assert [part for part in (*SECRETS, *texts) if part in printed] == []


def test_comparison_has_no_texts_if_they_are_not_logged(
    private: Project,
    texts: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Caller,
) -> None:
    project = own_copy(private, tmp_path, monkeypatch)
    project.change(evaluate={"log_texts": False})
    call(compare.main, "--a", "champion")
    assert holding(project, ["reports/compare-*"], texts) == set()
