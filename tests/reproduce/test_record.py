"""A run that lacks something is refused before anything is trained."""

import pytest

from sentiment.reproduce import record
from sentiment.reproduce.record import NEEDED_ARTIFACTS, find_lacking

COMMIT = {"mlflow.source.git.commit": "0123abcd"}


@pytest.fixture(autouse=True)
def _known_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the repository have the commit."""
    monkeypatch.setattr(record, "git", lambda *arguments: "commit" * ("0123abcd" in arguments[-1]))


@pytest.mark.parametrize(
    ("tags", "logged", "lacking"),
    [
        (COMMIT, NEEDED_ARTIFACTS, []),
        ({"mlflow.source.git.commit": "none"}, NEEDED_ARTIFACTS, ["the commit of its code"]),
        ({"mlflow.source.git.commit": "unknown"}, NEEDED_ARTIFACTS, ["the commit of its code"]),
        ({}, NEEDED_ARTIFACTS, ["the commit of its code"]),
        (
            {"mlflow.source.git.commit": "ffff"},
            NEEDED_ARTIFACTS,
            ["its commit ffff in this repository (`git fetch` may get it)"],
        ),
        (
            COMMIT | {"git.diff": "not complete: git does not track a.py"},
            NEEDED_ARTIFACTS,
            ["all uncommitted changes: its diff is not complete: git does not track a.py"],
        ),
        (COMMIT, ["params.yaml"], ["the artifact dvc.lock", "the artifact predictions.csv"]),
    ],
)
def test_what_a_run_lacks_is_named(
    tags: dict[str, str], logged: list[str], lacking: list[str]
) -> None:
    assert find_lacking(tags, logged) == lacking
