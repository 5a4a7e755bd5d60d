"""A run that lacks something is refused before anything is trained."""

import pytest

from sentiment.errors import UserError
from sentiment.params import flatten
from tests.conftest import Command, runs
from tracking import record
from tracking.record import NEEDED_ARTIFACTS, check_complete, read_params
from workflow.params_file import load_params

COMMIT = {"mlflow.source.git.commit": "0123abcd"}


@pytest.fixture
def known_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the repository have the commit."""
    monkeypatch.setattr(record, "git", lambda *arguments: "commit" * ("0123abcd" in arguments[-1]))


@pytest.mark.usefixtures("known_commit")
def test_a_run_with_everything_is_complete() -> None:
    check_complete("a1", COMMIT, NEEDED_ARTIFACTS)


@pytest.mark.usefixtures("known_commit")
@pytest.mark.parametrize(
    ("tags", "logged", "lack"),
    [
        ({"mlflow.source.git.commit": "none"}, NEEDED_ARTIFACTS, "the commit of its code"),
        ({}, NEEDED_ARTIFACTS, "the commit of its code"),
        (
            {"mlflow.source.git.commit": "ffff"},
            NEEDED_ARTIFACTS,
            "its commit ffff, which this repository does not have (git fetch)",
        ),
        (
            COMMIT | {"git.diff": "not complete: git does not track a.py"},
            NEEDED_ARTIFACTS,
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


@pytest.mark.slow
@pytest.mark.usefixtures("finished")
def test_the_params_of_a_run_are_those_that_it_depends_on() -> None:
    (run,) = runs()
    read = read_params(run.info.run_id)
    assert {"fetch.dataset", "pad.max_length", "train.units", "evaluate.threshold"} <= read.keys()
    params = load_params()
    now = {name: value for section, of in params for name, value in flatten(of, section).items()}
    assert read == {name: now[name] for name in read}
