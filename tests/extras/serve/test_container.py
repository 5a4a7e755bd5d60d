"""A server runs from a folder that has only the files that the Dockerfile copies."""

import json
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import requests

from tests.conftest import stand_in
from tests.project import ROOT, Project, free_port, wait_for

pytestmark = pytest.mark.slow
DOCKERFILE = ROOT / "workflow" / "serving" / "Dockerfile"
VERSION = "models:/synthetic-sentiment/1"


def test_server_in_a_folder_with_only_what_is_copied_predicts_as_the_evaluation_did(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image"
    stand_in(finished.path, monkeypatch)
    mlflow.artifacts.download_artifacts(artifact_uri=VERSION, dst_path=str(image / "model"))
    shutil.copytree(ROOT / "workflow" / "serving", image / "workflow" / "serving")
    port = free_port()
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    _, *arguments = json.loads(entry)
    options = ["--version", VERSION, "--port", str(port), "--log", str(tmp_path / "log")]
    environment = {
        name: value
        for name, value in finished.environment.items()
        if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    }
    server = subprocess.Popen(
        [sys.executable, *arguments, *options], cwd=image, env=environment, text=True
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        rows = pd.read_csv(finished.path / "data/evaluate/mistakes.csv")
        body = {"inputs": rows["text"].tolist()}
        response = requests.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    predictions = pd.DataFrame(response.json()["predictions"])
    assert predictions["probability"].tolist() == pytest.approx(rows["probability"].tolist())
    (log,) = (tmp_path / "log").iterdir()
    assert len(log.read_text(encoding="utf-8").splitlines()) == len(rows)


def test_pinned_packages_are_those_of_the_environment() -> None:
    (pinned,) = re.findall(r"prometheus_client==(\S+)", DOCKERFILE.read_text())
    assert pinned == version("prometheus_client")
