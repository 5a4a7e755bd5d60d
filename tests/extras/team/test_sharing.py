"""A second person gets what the first one trained, by git and a DVC remote, and goes on from it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Caller
from tests.object_store import swift
from tests.project import Project
from tools import repro
from workflow.params import load_params

pytestmark = pytest.mark.slow
RAN = "Running stage"
REPRO = ("python", "-m", "tools.repro")


def share(first: Project, folder: Path, endpoint: str) -> Project:
    """Let a second person clone a finished project; both share data by a DVC remote, as docs say.

    Its address is in git, and its endpoint in each person's configuration.
    """
    hub, second = folder / "hub.git", Project(folder / "second")
    second.environment = first.environment
    first.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(hub))
    first.run("git", "remote", "add", "hub", str(hub))
    first.run("dvc", "remote", "add", "--default", "shared", "s3://dvc/imdb")
    first.commit()
    first.run("dvc", "remote", "modify", "--local", "shared", "endpointurl", endpoint)
    first.run("dvc", "push")
    push(first)
    first.run("git", "clone", "--quiet", "--origin", "hub", str(hub), str(second.path))
    (second.path / ".dvc/config.local").write_bytes((first.path / ".dvc/config.local").read_bytes())
    return second


def push(project: Project) -> None:
    project.run("git", "push", "--quiet", "hub", "HEAD:refs/heads/main")


def test_by_s3_the_other_takes_what_one_trained_and_a_conflict_is_solved_as_the_docs_say(
    project: Project, tmp_path: Path
) -> None:
    pytest.importorskip("dvc_s3")
    with swift("dvc") as store:
        project.environment |= store.environment
        second = share(project, tmp_path, store.endpoint)
        said = second.run(*REPRO)
        assert "What the DVC remote shared has is pulled instead of being run." in said
        assert RAN not in said
        for folder in ("data/train", "data/evaluate", "data/pad"):
            assert second.contents(folder) == project.contents(folder)
        with closing(sqlite3.connect(second.path / "mlflow.db")) as database:
            assert database.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]

        project.change(evaluate={"threshold": 0.4})
        second.change(evaluate={"mistakes": 3})
        for person in (project, second):
            assert f"{RAN} 'evaluate'" in person.run(*REPRO)
            person.commit()
        push(project)  # and not `dvc push`: what the remote lacks is run
        assert "CONFLICT" in second.fail("git", "pull", "--no-rebase", "hub", "main")
        second.run("git", "checkout", "--theirs", "dvc.lock", "data")
        said = second.run(*REPRO)
        assert f"{RAN} 'evaluate'" in said
        assert f"{RAN} 'train'" not in said
        second.commit()
        second.run("dvc", "push")
        push(second)

        project.run("git", "pull", "--quiet", "hub", "main")
        assert RAN not in project.run(*REPRO)
        assert project.contents("data/evaluate") == second.contents("data/evaluate")
        params = load_params(project.path / "params.yaml")
        assert (params.evaluate.threshold, params.evaluate.mistakes) == (0.4, 3)


def test_a_remote_that_cannot_be_used_is_said_and_holds_nothing_up(
    project: Project, call: Caller
) -> None:
    project.run("dvc", "remote", "add", "--default", "shared", "ssh://127.0.0.1:1/data")
    said = project.run(*REPRO)
    assert "The DVC remote shared cannot be used, so every stage runs here: " in said
    assert "Stage 'train' didn't change" in said
    (project.path / ".dvc" / "config").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    assert "DVC's configuration cannot be read" in call.fail(repro.main)
