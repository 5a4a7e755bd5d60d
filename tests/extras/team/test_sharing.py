"""A second person gets what the first one trained, by git and a DVC remote, and goes on from it."""

from pathlib import Path

import pytest

from tests.object_store import swift
from tests.project import Project
from tests.services import ssh
from workflow.params import load_params

TRAINED = "Training by"
RUN_IDS = (
    "import mlflow; from workflow.runs import store; "
    "print(*[run.info.run_id for run in mlflow.MlflowClient().search_runs([store.connect()])])"
)


def share(first: Project, folder: Path, remote: str, **settings: str) -> Project:
    """Let a second person clone a finished project; both share data by a DVC remote.

    Settings of the remote are not in git: each person's configuration has them.
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
    return second


def configure(project: Project, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        project.run("dvc", "remote", "modify", "--local", "shared", name, value)


def push(project: Project) -> None:
    project.run("dvc", "push")
    project.run("git", "push", "--quiet", "hub", "HEAD:refs/heads/main")


def repro(project: Project) -> str:
    return project.run("python", "-m", "tools.repro")


def is_up_to_date(project: Project) -> bool:
    said = project.run("dvc", "status", "evaluate", "--with-deps").strip()
    return said == "Data and pipelines are up to date."


def run_ids(project: Project) -> list[str]:
    return project.read("python", "-c", RUN_IDS).split()


def assert_taken(first: Project, second: Project) -> None:
    """What the first one trained, the second takes, bit for bit, and makes known to the store."""
    said = repro(second)
    assert "What the DVC remote shared has is taken from there" in said
    assert TRAINED not in said
    for folder in ("data/train", "data/evaluate", "data/pad"):
        assert second.contents(folder) == first.contents(folder)
    assert len(run_ids(second)) == 1  # as by `make sync`
    assert is_up_to_date(second)


def test_what_one_trained_is_taken_over_ssh(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("dvc_ssh")
    with ssh() as (address, key):
        remote = f"{address}{tmp_path}/remote"
        assert_taken(project, share(project, tmp_path, remote, keyfile=str(key)))


def test_by_s3_the_other_takes_it_changes_it_and_gives_it_back(
    project: Project, tmp_path: Path
) -> None:
    pytest.importorskip("dvc_s3")
    with swift("dvc") as store:
        project.environment |= store.environment
        second = share(project, tmp_path, "s3://dvc/imdb", endpointurl=store.endpoint)
        assert_taken(project, second)
        (before,) = run_ids(project)
        second.change(train={"seed": 7})
        assert TRAINED in repro(second)
        second.commit()
        push(second)

        project.run("git", "pull", "--quiet", "hub", "main")
        assert TRAINED not in repro(project)
        assert project.contents("data/train") == second.contents("data/train")
        assert "train.seed" in project.run("python", "-m", "extras.compare", "--a", before)


def test_a_conflict_in_the_lock_is_solved_as_the_docs_say(project: Project, tmp_path: Path) -> None:
    second = share(project, tmp_path, str(tmp_path / "remote"))
    project.change(train={"seed": 7})
    second.change(train={"units": 5})
    for person in (project, second):
        repro(person)
        person.commit()
    push(project)
    assert "CONFLICT" in second.fail("git", "pull", "--no-rebase", "hub", "main")
    second.run("git", "checkout", "--theirs", "dvc.lock", "data")
    assert TRAINED in repro(second)
    second.commit()
    params = load_params(second.path / "params.yaml")
    assert (params.train.seed, params.train.units) == (7, 5)
    assert is_up_to_date(second)


def test_what_a_remote_lacks_is_trained(project: Project, tmp_path: Path) -> None:
    second = share(project, tmp_path, str(tmp_path / "remote"))
    (tmp_path / "remote").rename(tmp_path / "away")
    assert TRAINED in repro(second)
    assert (second.path / "data" / "evaluate" / "metrics.json").exists()


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
