"""Others look at a project's runs in its owner's `mlflow ui`, and cannot log there by mistake."""

import shutil
import urllib.request
from collections.abc import Iterator

import pytest

from tests.conftest import Command
from tests.project import MODEL, Project, free_port, wait_for
from tests.services import QUIET, kill, start_server

pytestmark = pytest.mark.slow


@pytest.fixture
def owners_ui(finished_once: Project) -> Iterator[str]:
    """Serve the UI of a finished project, and yield its URL."""
    port = str(free_port())
    process = start_server(finished_once.path, "mlflow", "ui", "--port", port, **QUIET)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        kill(process)


def test_ui_shows_artifacts_and_a_client_elsewhere_is_refused_before_it_logs(
    owners_ui: str,
    finished_once: Project,
    project: Project,
    sentiment: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MLflow itself would write the artifacts to the client's disk, where nobody finds them."""
    from mlflow import MlflowClient

    client = MlflowClient(owners_ui)
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    page = f"{owners_ui}/get-artifact?run_id={run.info.run_id}&path=predictions.csv"
    with urllib.request.urlopen(page, timeout=60) as response:
        shown = response.read()
    assert shown == (finished_once.path / "data/evaluate/predictions.csv").read_bytes()

    shutil.rmtree(project.path / "mlruns")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", owners_ui)
    assert "can only be looked at" in sentiment.fail("sync")
    assert not (project.path / "mlruns").exists()
    assert client.search_runs([experiment.experiment_id])[0].to_dictionary() == run.to_dictionary()
