"""A run that lacks something is refused before anything is trained."""

import pytest

from sentiment.errors import UserError
from tests.conftest import Command
from workflow import record
from workflow.record import NEEDED, check_complete

COMMIT = {"mlflow.source.git.commit": "0123abcd"}


@pytest.fixture(autouse=True)
def repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the repository have the commit."""
    monkeypatch.setattr(record, "git", lambda *arguments: "commit" * ("0123abcd" in arguments[-1]))


def test_a_run_with_everything_is_complete() -> None:
    check_complete("a1", COMMIT, NEEDED)


@pytest.mark.parametrize(
    ("tags", "logged", "lack"),
    [
        ({"mlflow.source.git.commit": "none"}, NEEDED, "the commit of its code"),
        ({}, NEEDED, "the commit of its code"),
        (
            {"mlflow.source.git.commit": "ffff"},
            NEEDED,
            "its commit ffff, which this repository does not have (git fetch)",
        ),
        (
            COMMIT | {"git.diff": "not complete: git does not track a.py"},
            NEEDED,
            "all uncommitted changes: its diff is not complete: git does not track a.py",
        ),
        (
            COMMIT,
            ["params.yaml"],
            "the artifact dvc.lock; the artifact predictions.csv",
        ),
    ],
)
def test_what_a_run_lacks_is_named(tags: dict[str, str], logged: list[str], lack: str) -> None:
    with pytest.raises(UserError) as raised:
        check_complete("a1", tags, logged)
    assert str(raised.value) == f"Run a1 cannot be run again. It lacks {lack}."


@pytest.mark.slow
@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("command", [("reproduce",), ("preset", "--run")])
def test_a_run_that_does_not_exist_is_named(sentiment: Command, command: tuple[str, ...]) -> None:
    assert "The store has no run 0123." in sentiment.fail(*command, "0123")
