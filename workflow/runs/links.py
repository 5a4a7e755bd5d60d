"""Addresses of pages of the MLflow UI."""

from sentiment.errors import redacted
from workflow.children import HOST
from workflow.runs import store

DEFAULT_PORT = 5000
ADDRESS = f"http://{HOST}:{DEFAULT_PORT}"


def link(experiment_id: str, run_id: str = "", server: str = ADDRESS) -> str:
    """Address of a run's page, or of the table of runs: MLflow's front page shows another view.

    `server` serves the store where `MLFLOW_TRACKING_URI` does not name a server.
    """
    uri = store.tracking_uri()
    page = f"{redacted(uri).rstrip('/') if store.is_server(uri) else server}/#/experiments"
    runs = f"runs/{run_id}" if run_id else "runs?workflowType=machine_learning"
    return f"{page}/{experiment_id}/{runs}"
