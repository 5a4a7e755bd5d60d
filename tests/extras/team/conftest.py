"""A team's server, and two people who share runs and data by it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extras.team import page
from tests.extras.team.servers import PASSWORDS, TeamServer, team_server
from tests.project import Project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    """Return a running server with the users of the page, and one who may only read."""
    from mlflow.server import get_app_client

    with team_server(tmp_path_factory.mktemp("server")) as made:
        made.run("**Schema.**")
        with made.serving():
            with pytest.MonkeyPatch.context() as patch:
                for name, value in made.user("admin").items():
                    patch.setenv(name, value)
                client = get_app_client("basic-auth", made.url)
                for name in ("alice", "bob", "reader"):
                    client.create_user(name, PASSWORDS[name])
            made.run("**Users.**", **made.user("admin"))
            yield made


@pytest.fixture(scope="module")
def alice(
    finished_once: Project, server: TeamServer, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """Return Alice's project, which has a hub. She trained before the server was there."""
    folder = tmp_path_factory.mktemp("alice")
    project = finished_once.copy(folder / "project")
    for path in project.path.glob("mlflow.db*"):
        path.unlink()
    project.environment |= server.user("alice")
    project.run("dvc", "commit", "--force", "--quiet")
    project.commit()
    project.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder / "hub"))
    project.run("git", "branch", "--move", "main")
    project.run("git", "remote", "add", "origin", str(folder / "hub"))
    page.run("Once, for everyone:", project.path, project.environment)
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    page.run("After a training, commit, and share it:", project.path, project.environment)
    return project


@pytest.fixture(scope="module")
def bob(alice: Project, server: TeamServer, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return Bob's clone of the hub."""
    project = Project(Path(tmp_path_factory.mktemp("bob")) / "project")
    project.environment |= server.user("bob")
    hub = alice.path.parent / "hub"
    alice.run("git", "clone", "--quiet", str(hub), str(project.path))
    return project
