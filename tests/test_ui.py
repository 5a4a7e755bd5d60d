"""MLflow's UI shows the runs with their metrics at the link that the stage `evaluate` prints."""

import signal
from pathlib import Path

import pytest

from sentiment.project import paths
from sentiment.project.documents import read_json
from sentiment.tracking import store
from tests.browser import chromium, keep_screenshot, open_page, wait_for_curves
from tests.conftest import runs
from tests.services import QUIET
from tests.small_project import ProjectCopy, free_port, wait_for


@pytest.mark.slow
def test_link_shows_the_metrics_and_the_curves_of_the_runs(
    finished: ProjectCopy, tmp_path: Path
) -> None:
    metrics = read_json(paths.TEST_METRICS_FILE)
    (run,) = runs()
    port = free_port()
    url = store.runs_url(run.info.experiment_id)
    link = url.replace(store.MLFLOW_UI, f"http://127.0.0.1:{port}")
    server = finished.start("mlflow", "ui", f"--port={port}", **QUIET)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        with chromium(tmp_path / "profile") as browser:
            open_page(browser, link, "val_accuracy", "train.units", str(metrics["test_accuracy"]))
            keep_screenshot(browser, "mlflow-runs")
            open_page(browser, f"{link}&compareRunsMode=CHART", "Model metrics")
            wait_for_curves(browser, "^(val_)?accuracy$", {"accuracy": 1, "val_accuracy": 1})
            keep_screenshot(browser, "mlflow-charts")
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=300)
