"""`sentiment ui` prints a link that shows the runs with their metrics, in a real browser."""

import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.browser import chromium, keep_screenshot, open_page, wait_for_curves
from tests.conftest import Command
from tests.project import Project, free_port, wait_for
from workflow import files

pytestmark = pytest.mark.slow


def test_link_shows_the_metrics_and_the_curves_of_the_runs(
    finished: Project, tmp_path: Path
) -> None:
    metrics = files.read_json(files.TEST_METRICS_FILE)
    port = free_port()
    server = finished.start(sys.executable, "-m", "cli", "ui", f"--port={port}")
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "The runs:\n"
        link = server.stdout.readline().strip()
        assert link.startswith(f"http://127.0.0.1:{port}/#/experiments/")
        wait_for(f"http://127.0.0.1:{port}/health")
        with chromium(tmp_path / "profile") as browser:
            open_page(browser, link, "val_accuracy", "train.units", str(metrics["test_accuracy"]))
            keep_screenshot(browser, "mlflow-runs")
            open_page(browser, f"{link}&compareRunsMode=CHART", "Model metrics")
            wait_for_curves(browser, "^(val_)?accuracy", {"accuracy": 1, "val_accuracy": 1})
            keep_screenshot(browser, "mlflow-charts")
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=300)


@pytest.mark.usefixtures("project")
def test_port_in_use_is_reported(sentiment: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = sentiment.fail("ui", "--port", str(port))
    assert f"Port {port} cannot be used: Address already in use" in message
