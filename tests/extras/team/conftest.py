"""A team's server, and a laptop whose runs are copied to it."""

from collections.abc import Iterator
from typing import Any

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag

from extras.team import migrate
from tests.conftest import Caller, stand_in
from tests.extras.team.servers import Team, documented_variables, team
from tests.project import MODEL, Project
from workflow import store

RUNS = 20
STATUSES = ("FINISHED", "FINISHED", "FINISHED", "FAILED", "KILLED")
DATABASE = "postgresql:///mlflow"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team(tmp_path_factory.mktemp("team")) as started:
        yield started


def add_runs() -> None:
    """Add runs as sweeps and seeds make them: children of others, some failed, some deleted."""
    experiment_id = store.connect()
    client = mlflow.MlflowClient()
    parent = ""
    for number in range(RUNS - 1):
        begun = 1_700_000_000_000 + 60_000 * number
        is_parent = number % 10 == 0
        link = "sweep.key" if is_parent else "mlflow.parentRunId"
        tags = {"mlflow.runName": f"trial {number}", link: parent}
        run_id = client.create_run(experiment_id, begun, tags).info.run_id
        parent = run_id if is_parent else parent
        points = [Metric("loss", 1 / step, begun + step, step) for step in range(1, 31)]
        metrics = [*points, Metric("accuracy", float("nan"), begun, 1)]
        params = [Param("train.units", str(number)), Param("note", "ä, 'quoted'\n")]
        client.log_batch(run_id, metrics, params, [RunTag("dataset", "synthetic")])
        client.set_terminated(run_id, STATUSES[number % 5], begun + 50_000)
        if number % 10 == 3:
            client.delete_run(run_id)
    client.log_text(run_id, "notes", "notes/a b.txt")
    source = client.get_model_version(MODEL, "1").source or ""
    for _ in range(2):
        client.create_model_version(MODEL, source, run_id)
    client.delete_model_version(MODEL, "2")


@pytest.fixture(scope="module")
def laptop(finished: Project, server: Team, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with `RUNS` runs, one of them its training, and the administrator's environment."""
    project = finished.copy(tmp_path_factory.mktemp("laptop") / "project")
    with pytest.MonkeyPatch.context() as patch:
        stand_in(project.path, patch)
        add_runs()
    environment = server.backends.environment
    names = documented_variables("## Copy a laptop's runs to the server") - {"TO", "DATABASE"}
    variables = {**environment, **server.user("admin")}
    project.environment |= {name: variables[name] for name in (*names, "PGPORT")}
    return project


def stand_as_administrator(laptop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in the laptop's project with the administrator's variables."""
    monkeypatch.chdir(laptop.path)
    for name, value in laptop.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE", DATABASE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # the command sets it; monkeypatch sets it back


@pytest.fixture(scope="module")
def migrated(laptop: Project, server: Team) -> Any:
    """The JSON that `make migrate` prints if everything was copied before."""
    with pytest.MonkeyPatch.context() as patch:
        stand_as_administrator(laptop, patch)
        call = Caller(patch)
        call(migrate.main, "--to", server.url)
        return call.json(migrate.main, "--to", server.url)
