"""A real server predicts raw texts as the evaluation did."""

import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import requests

from sentiment.project.files.arrays import read_reviews
from sentiment.project.files.documents import read_json
from sentiment.project.files.paths import Project
from sentiment.tracking import loading
from sentiment.tracking.evaluations import read_predictions
from tests.command import Command
from tests.logged import runs
from tests.small_project import MODEL, ProjectCopy, enter, free_port, wait_for

pytestmark = pytest.mark.slow
FIRST = f"models:/{MODEL}/1"
REVIEW = "The plot was not good <b>film</b> 😀! The acting was dull."


class Server(NamedTuple):
    """A server of a project's champion."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: dict[str, Any]) -> Any:
        response = requests.post(f"{self.url}/{path}", json=body, timeout=300)
        assert response.status_code == 200, response.text
        return response.json()

    def predict(self, texts: list[str]) -> Any:
        return self.post("invocations", {"inputs": texts})


@pytest.fixture(scope="module")
def served(finished_once: ProjectCopy, tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """Copy the finished project, and make its model the champion."""
    project = finished_once.copy(tmp_path_factory.mktemp("served") / "project")
    with pytest.MonkeyPatch.context() as patch:
        enter(project, patch)
        (run,) = runs()
        Command()("promote", run.info.run_id)
    return project


@pytest.fixture(scope="module")
def server(served: ProjectCopy) -> Iterator[Server]:
    """Serve the champion, and end the server as a process manager does."""
    server = Server(free_port())
    process = served.start(sys.executable, "-m", "sentiment", "serve", f"--port={server.port}")
    try:
        wait_for(f"{server.url}/health")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGTERM
    assert output.startswith(f"Serving {FIRST}\n")
    assert "Traceback" not in output
    assert "WARNING" not in output  # uvicorn's, about odd requests


@pytest.fixture
def reviews(finished: ProjectCopy) -> pd.DataFrame:  # noqa: ARG001
    """Return the predictions of the evaluation, with the reviews as texts."""
    project = Project.here()
    table = read_predictions(project.evaluated / "predictions.csv")
    words = {rank: word for word, rank in read_json(project.fetched / "word_index.json").items()}
    texts = read_reviews(project.fetched, "test")
    return table.assign(
        text=[" ".join(words[rank] for rank in texts[review]) for review in table["row"]]
    )


def test_concurrent_requests_get_the_predictions_of_the_evaluation_to_the_bit(
    server: Server, reviews: pd.DataFrame
) -> None:
    with ThreadPoolExecutor(16) as pool:
        responses = [*pool.map(lambda text: server.predict([text]), reviews["text"])]
    predictions = [response["predictions"][0] for response in responses]
    assert [each["label"] for each in predictions] == reviews["predicted"].tolist()
    for label in ("negative", "positive"):
        probabilities = np.array([each["probabilities"][label] for each in predictions], np.float32)
        np.testing.assert_array_equal(probabilities, reviews[f"probability_{label}"])


@pytest.mark.usefixtures("finished")
def test_explanation_has_all_pieces_of_the_text_and_the_numbers_of_the_model(
    server: Server,
) -> None:
    explained = server.post("explain", {"text": REVIEW})
    expected = loading.load_own_model(Project.here(), threshold=0.5).explain(REVIEW)
    assert explained["version"] == FIRST
    assert (explained["label"], explained["probability"]) == expected[:2]
    assert "".join(piece["text"] for piece in explained["pieces"]) == REVIEW
    words = [piece for piece in explained["pieces"] if piece["log_odds"] is not None]
    assert [(word["text"], word["log_odds"]) for word in words] == [
        (REVIEW[word.start : word.end], word.log_odds) for word in expected.words
    ]


def test_a_taken_port_is_refused_before_a_model_is_loaded(
    sentiment: Command,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        message = f"Error: Port {port} cannot be used: Address already in use. Choose"
        assert message in sentiment.fail("serve", "--port", port)


@pytest.mark.usefixtures("finished")
def test_without_a_champion_the_message_says_how_to_get_one(sentiment: Command) -> None:
    message = sentiment.fail("serve", f"--port={free_port()}")
    assert f"Error: There is no champion of {MODEL}." in message
    assert "sentiment promote" in message
    assert "--model" in message
