"""A second person gets what the first one trained, by git and a DVC remote, and goes on from it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from tests.object_store import swift
from tests.project import Project
from tests.services import ssh
from workflow.params import load_params

TRAINED = "Training by"
UP_TO_DATE = "Data and pipelines are up to date."
RUN_IDS = (
    "import mlflow; from workflow.runs import store; "
    "print(*[run.info.run_id for run in mlflow.MlflowClient().search_runs([store.connect()])])"
)


class Team(NamedTuple):
    """Two clones of one repository, which share data by a DVC remote; the first is finished."""

    first: Project
    second: Project


def share(
    first: Project, folder: Path, remote: str, settings: Mapping[str, str] = MappingProxyType({})
) -> Team:
    """Let a second person, with the same environment, clone a finished project.

    Args:
        first: the project.
        folder: for the other clone, and what both share.
        remote: address of the DVC remote.
        settings: of the remote, which are not in git: each person's configuration has them.
    """
    hub, second = folder / "hub.git", Project(folder / "second")
    second.environment = first.environment
    first.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(hub))
    first.run("git", "remote", "add", "hub", str(hub))
    first.run("dvc", "remote", "add", "--default", "shared", remote)
    first.commit()
    configure(first, settings)
    push(first)
    first.run("git", "clone", "--quiet", "--origin", "hub", str(hub), str(second.path))
    configure(second, settings)
    return Team(first, second)


def configure(project: Project, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        project.run("dvc", "remote", "modify", "--local", "shared", name, value)


def push(project: Project) -> None:
    project.run("dvc", "push")
    project.run("git", "push", "--quiet", "hub", "HEAD:refs/heads/main")


def repro(project: Project) -> str:
    return project.run("python", "-m", "tools.repro")


def run_ids(project: Project) -> list[str]:
    return project.read("python", "-c", RUN_IDS).split()


@pytest.fixture
def team(project: Project, tmp_path: Path) -> Team:
    return share(project, tmp_path, str(tmp_path / "remote"))


def test_the_round_trip_by_s3(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("dvc_s3")
    with swift("dvc") as store:
        project.environment |= store.environment
        settings = {"endpointurl": store.endpoint}
        assert_round_trip(share(project, tmp_path, "s3://dvc/imdb", settings))


def test_the_round_trip_over_ssh(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("dvc_ssh")
    with ssh() as (address, key):
        remote, settings = f"{address}{tmp_path}/remote", {"keyfile": str(key)}
        assert_round_trip(share(project, tmp_path, remote, settings))


def assert_round_trip(team: Team) -> None:
    """What one trained, the other takes, changes and gives back; the first compares both."""
    first, second = team
    said = repro(second)
    assert "What the DVC remote shared has is taken from there" in said
    assert TRAINED not in said
    for folder in ("data/train", "data/evaluate", "data/pad"):
        assert second.contents(folder) == first.contents(folder)
    assert len(run_ids(second)) == 1  # made known to the store, as by `make sync`
    assert second.run("dvc", "status", "evaluate", "--with-deps").strip() == UP_TO_DATE

    (before,) = run_ids(first)
    second.change(train={"seed": 7})
    assert TRAINED in repro(second)
    second.commit()
    push(second)

    first.run("git", "pull", "--quiet", "hub", "main")
    assert TRAINED not in repro(first)
    assert first.contents("data/train") == second.contents("data/train")
    assert "train.seed" in first.run("python", "-m", "extras.compare", "--a", before)


def test_a_conflict_in_the_lock_is_solved_as_the_docs_say(team: Team) -> None:
    first, second = team
    for person, change in ((first, {"seed": 7}), (second, {"units": 5})):
        person.change(train=change)
        repro(person)
        person.commit()
    push(first)
    assert "CONFLICT" in second.fail("git", "pull", "--no-rebase", "hub", "main")
    second.run("git", "checkout", "--theirs", "dvc.lock", "data")
    assert TRAINED in repro(second)
    second.commit()
    params = load_params(second.path / "params.yaml").train
    assert (params.seed, params.units) == (7, 5)
    assert second.run("dvc", "status", "evaluate", "--with-deps").strip() == UP_TO_DATE


def test_what_a_remote_lacks_is_trained(team: Team, tmp_path: Path) -> None:
    (tmp_path / "remote").rename(tmp_path / "away")
    assert TRAINED in repro(team.second)
    assert (team.second.path / "data" / "evaluate" / "metrics.json").exists()


@pytest.mark.parametrize("address", ["ssh://127.0.0.1:1/data", "s3://nowhere/data"])
def test_a_remote_that_cannot_be_used_is_said_and_holds_nothing_up(
    project: Project, address: str
) -> None:
    project.run("dvc", "remote", "add", "--default", "shared", address)
    said = repro(project)
    assert "The DVC remote shared cannot be used, so all is run here: " in said
    assert "Stage 'train' didn't change" in said


def test_a_broken_configuration_is_one_message(project: Project) -> None:
    (project.path / ".dvc" / "config").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    said = project.fail("python", "-m", "tools.repro")
    assert "make repro: DVC's configuration cannot be read" in said
    assert "Traceback" not in said
