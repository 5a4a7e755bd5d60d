"""`make ui` in a real browser. The screenshots stay in test-artifacts/."""

import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mlflow
import pytest
from selenium import webdriver

from tests.browser import keep_screenshot, open_page, wait_for_curves
from tests.project import ROOT, Project, free_port, wait_for
from tools import venv


class Ui(NamedTuple):
    """A running MLflow UI: its URL, the page that it printed, and the ids of its two runs."""

    url: str
    page: str
    runs: list[str]


@pytest.fixture(scope="module")
def moved_project(two_runs: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy of a project with two runs, which is in another folder than the original."""
    project = two_runs.copy(tmp_path_factory.mktemp("ui") / "project")
    (project.path / ".venv").symlink_to(sys.prefix)
    return project


@pytest.fixture(scope="module")
def ui(moved_project: Project) -> Iterator[Ui]:
    """Start `make ui` as a user does."""
    if Path(sys.prefix).resolve() != (ROOT / venv.VENV).resolve() or not venv.is_complete():
        pytest.skip("these tests run `make ui`, in the environment that `make` builds: `make test`")
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    process = moved_project.start("make", "ui", MLFLOW_UI_PORT=str(port), BROWSER="true")
    try:
        wait_for(f"{server}/health")
        runs = [run.info.run_id for run in mlflow.MlflowClient(server).search_runs(["1"])]
        assert process.stdout is not None
        page = next(line for line in process.stdout if line.startswith("The runs: "))
        yield Ui(server, page.removeprefix("The runs: ").strip(), runs)
    finally:
        process.terminate()
        process.communicate(timeout=300)


pytestmark = pytest.mark.slow

NAMES = ("lstm-4 · len 40 · seed 42 · synthetic", "lstm-6 · len 40 · seed 42 · synthetic · six")


def test_ui_opens_at_the_table_and_charts_both_accuracy_curves_of_both_runs(
    ui: Ui, browser: webdriver.Chrome
) -> None:
    open_page(browser, ui.page, *NAMES, "2 matching runs")
    keep_screenshot(browser, "runs")
    open_page(browser, f"{ui.page}&compareRunsMode=CHART", *NAMES, "Model metrics")
    wait_for_curves(browser, "^(val_)?accuracy$", {"accuracy": 2, "val_accuracy": 2})
    keep_screenshot(browser, "charts")


def test_artifacts_of_a_moved_project_are_served(ui: Ui) -> None:
    for run_id in ui.runs:
        query = f"path=evaluate/accuracy.png&run_uuid={run_id}"
        with urllib.request.urlopen(f"{ui.url}/get-artifact?{query}", timeout=30) as response:
            assert response.read().startswith(b"\x89PNG")
