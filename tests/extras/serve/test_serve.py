"""A real server predicts raw texts as the evaluation did, and follows the champion."""

import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests

from tests.conftest import Command, use_store
from tests.project import MODEL, ROOT, Project, free_port, wait_for, wait_until
from workflow import files, versions

pytestmark = pytest.mark.slow
FIRST = f"models:/{MODEL}/1"
SECOND = f"models:/{MODEL}/2"
HANDSHAKE = (
    b"POST /invocations HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Content-Type: application/json\r\nContent-Length: 17\r\n\r\n"
    b'{"inputs": ["a"]}'
)
STUB_SERVER = """
import sys
sys.path.insert(0, {root!r})
from extras.serve.app import create_app, serve
from extras.serve.batching import Batcher
from extras.serve.champion import ServedModel
from tests.extras.serve.stub_model import StubModel
serve(create_app(ServedModel("models:/stub/1", Batcher(StubModel().predict_texts))), {port})
"""


class Server(NamedTuple):
    """A server of a project's model, and the folder of its log."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def predict(self, texts: list[str], **headers: str) -> pd.DataFrame:
        response = requests.post(
            f"{self.url}/invocations", json={"inputs": texts}, headers=headers, timeout=300
        )
        assert response.status_code == 200, response.text
        return pd.DataFrame(response.json()["predictions"])

    def version(self) -> str:
        return str(requests.get(f"{self.url}/version", timeout=300).json()["model"])

    def read_log(self) -> list[dict[str, Any]]:
        paths = sorted(self.log.glob("*.jsonl"))  # two files around midnight
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def served(finished_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Copy the finished project, and add a second version, of the same model."""
    project = finished_once.copy(tmp_path_factory.mktemp("served") / "project")
    with pytest.MonkeyPatch.context() as patch:
        use_store(project, patch)
        client = mlflow.MlflowClient()
        first = client.get_model_version(MODEL, "1")
        client.create_model_version(
            MODEL, str(first.source), first.run_id, first.tags, model_id=first.model_id
        )
    return project


@pytest.fixture(scope="module")
def server(served: Project) -> Iterator[Server]:
    """Serve the champion, log its predictions with their texts, and end the server by Ctrl-C."""
    server = Server(free_port(), served.path / "log")
    options = [f"--port={server.port}", "--log=log", "--log-texts"]
    process = served.start(sys.executable, "-m", "cli", "serve", *options)
    try:
        wait_for(f"{server.url}/health")
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert output.startswith(f"Serving {FIRST} on {server.url}/invocations\n")
    assert "Traceback" not in output
    assert "WARNING" not in output  # uvicorn's, about odd requests


@pytest.fixture
def reviews(finished: Project) -> pd.DataFrame:  # noqa: ARG001
    """Return the predictions of the evaluation, with the reviews as texts."""
    table = versions.read_predictions(files.PREDICTIONS_FILE)
    words = {rank: word for word, rank in files.read_json(files.WORD_INDEX_FILE).items()}
    texts = files.read_reviews(files.FETCH, "test")
    return table.assign(
        text=[" ".join(words[rank] for rank in texts[review]) for review in table["review"]]
    )


def assert_same_probabilities(served: pd.DataFrame, reviews: pd.DataFrame) -> None:
    for label in ("negative", "positive"):
        probabilities = np.array([row[label] for row in served["probabilities"]], np.float32)
        np.testing.assert_array_equal(probabilities, reviews[f"probability_{label}"])


def test_served_probabilities_are_those_of_the_evaluation_to_the_bit(
    server: Server, reviews: pd.DataFrame
) -> None:
    served = server.predict(reviews["text"].tolist())
    assert_same_probabilities(served, reviews)
    assert served["label"].tolist() == reviews["predicted"].tolist()


def test_probabilities_do_not_depend_on_other_requests(
    server: Server, reviews: pd.DataFrame
) -> None:
    with ThreadPoolExecutor(16) as pool:
        served = pool.map(lambda text: server.predict([text]), reviews["text"])
        assert_same_probabilities(pd.concat(served), reviews)


def test_each_text_is_logged_for_the_owner_alone(server: Server) -> None:
    texts = ["zzzunheard", "dull " * 300]
    server.predict(texts, **{"X-Request-Id": "mine"})
    logged = [line for line in server.read_log() if line["request_id"].startswith("mine")]
    assert [line["text"] for line in logged] == texts
    assert [line["words"] for line in logged] == [1, 300]
    assert logged[0]["unknown_share"] == 1
    modes = {path.stat().st_mode & 0o777 for path in server.log.iterdir()}
    assert modes == {0o600}


def test_request_to_upgrade_to_a_web_socket_gets_a_prediction(server: Server) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=300)) as client:
        client.sendall(HANDSHAKE)
        assert client.recv(2**16).startswith(b"HTTP/1.1 200 OK\r\n")


def test_new_champion_is_served_without_losing_a_request(
    server: Server, served: Project, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(served, monkeypatch)
    run_id = str(mlflow.MlflowClient().get_model_version(MODEL, "2").run_id)
    is_over = threading.Event()

    def predict_until_over() -> int:
        count = 0
        while not is_over.is_set():
            server.predict(["a fine film"], **{"X-Request-Id": "follow"})
            count += 1
        return count

    with ThreadPoolExecutor() as pool:
        count = pool.submit(predict_until_over)
        try:
            wait_until(lambda: "follow" in {line["request_id"] for line in server.read_log()})
            assert server.version() == FIRST
            sentiment("promote", run_id)
            wait_until(lambda: server.version() == SECOND)
        finally:
            is_over.set()
    server.predict(["a fine film"], **{"X-Request-Id": "follow"})
    logged = [line["version"] for line in server.read_log() if line["request_id"] == "follow"]
    assert len(logged) == count.result() + 1
    assert logged[0] == FIRST
    assert logged[-1] == SECOND


def test_signal_of_a_process_manager_ends_the_server(fresh: Project) -> None:
    port = free_port()
    process = fresh.start(sys.executable, "-c", STUB_SERVER.format(root=str(ROOT), port=port))
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGTERM
    assert output == ""


def test_arguments_are_refused_before_a_model_is_loaded(
    in_tmp_path: Path, sentiment: Command
) -> None:
    port = str(free_port())
    assert "Add --log FOLDER" in sentiment("serve", "--port", port, "--log-texts", status=2)
    refusal = sentiment.fail("serve", "--port", port, "--log", __file__)
    assert refusal.startswith(f"Error: Predictions cannot be logged in {__file__}: ")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Error: Port {port} cannot be used" in sentiment.fail("serve", "--port", port)
    assert [*in_tmp_path.iterdir()] == []
