"""A server for the tests of each module, and a laptop's history that is moved to it."""

import json
from collections.abc import Iterator
from typing import Any

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag

from tests.conftest import stand_in
from tests.extras.team.servers import Parts, Team, parts, serving
from tests.project import MODEL, Project
from workflow import store

RUNS = 20
STATUSES = ("FINISHED", "FINISHED", "FINISHED", "FAILED", "KILLED")


@pytest.fixture(scope="module")
def processes() -> Iterator[Parts]:
    """PostgreSQL and Swift."""
    with parts() as standing:
        yield standing


@pytest.fixture(scope="module")
def server(processes: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with serving(processes, tmp_path_factory.mktemp("team")) as started:
        yield started


def add_runs() -> None:
    """Runs as sweeps and seeds make them: children of others, some failed, some deleted."""
    experiment_id, client, parent = store.connect(), mlflow.MlflowClient(), ""
    for number in range(RUNS - 1):
        begun, first = 1_700_000_000_000 + 60_000 * number, number % 10 == 0
        link = "sweep.key" if first else "mlflow.parentRunId"
        tags = {"mlflow.runName": f"trial {number}", link: parent}
        run_id = client.create_run(experiment_id, begun, tags).info.run_id
        parent = run_id if first else parent
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
    server.parts.write(project.path)
    project.environment |= server.parts.environment | server.user("admin")
    del project.environment["MLFLOW_TRACKING_URI"]
    return project


@pytest.fixture(scope="module")
def moved(laptop: Project, server: Team) -> Any:
    """What `make migrate` prints as JSON where everything was moved before."""
    command = ("python", "-m", "extras.team.migrate", "--to", server.address)
    laptop.run(*command)
    return json.loads(laptop.read(*command, "--json"))
