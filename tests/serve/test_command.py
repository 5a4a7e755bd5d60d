"""A real server predicts raw texts as the evaluation did, follows the champion, and has a page."""

import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from sentiment.project import paths
from sentiment.project.arrays import read_reviews
from sentiment.project.documents import read_json
from sentiment.tracking import versions
from tests.browser import SECONDS, chromium, keep_screenshot, open_page, text
from tests.conftest import Command, copy_project, use_store
from tests.small_project import MODEL, ProjectCopy, free_port, wait_for, wait_until

pytestmark = pytest.mark.slow
FIRST = f"models:/{MODEL}/1"
SECOND = f"models:/{MODEL}/2"
LABELS = {FIRST: {"negative", "positive"}, SECOND: {"bad", "good"}}
REVIEW = "The plot was not good <b>film</b> 😀! The acting was dull."
OVERFLOW = """
const page = document.documentElement
return page.scrollWidth - page.clientWidth
"""


class Server(NamedTuple):
    """A server of a project's champion, and the folder of its log."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: dict[str, Any], **headers: str) -> Any:
        response = requests.post(f"{self.url}/{path}", json=body, headers=headers, timeout=300)
        assert response.status_code == 200, response.text
        return response.json()

    def predict(self, texts: list[str], **headers: str) -> Any:
        return self.post("invocations", {"inputs": texts}, **headers)

    def version(self) -> str:
        return str(requests.get(f"{self.url}/version", timeout=300).json()["model"])

    def read_log(self) -> list[dict[str, Any]]:
        paths = sorted(self.log.glob("*.jsonl"))  # two files around midnight
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def served(finished_once: ProjectCopy, tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """Copy the finished project, and add a second version, whose labels have other names."""
    folder = tmp_path_factory.mktemp("served")
    project = copy_project(finished_once, folder / "project")
    with pytest.MonkeyPatch.context() as patch:
        use_store(project, patch)
        mlflow.artifacts.download_artifacts(FIRST, dst_path=str(folder / "model"))
        config = folder / "model" / "artifacts" / "config.json"
        changed = json.loads(config.read_bytes()) | {"label_names": ["bad", "good"]}
        config.write_text(json.dumps(changed), encoding="utf-8")
        client = mlflow.MlflowClient()
        first = client.get_model_version(MODEL, "1")
        client.create_model_version(MODEL, str(folder / "model"), first.run_id, first.tags)
    return project


@pytest.fixture(scope="module")
def server(served: ProjectCopy) -> Iterator[Server]:
    """Serve the champion, log its predictions, and end the server as a process manager does."""
    server = Server(free_port(), served.path / "log")
    process = served.start(
        sys.executable, "-m", "cli", "serve", f"--port={server.port}", "--log=log"
    )
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
    table = versions.read_predictions(paths.PREDICTIONS_FILE)
    words = {rank: word for word, rank in read_json(paths.WORD_INDEX_FILE).items()}
    texts = read_reviews(paths.FETCH_FOLDER, "test")
    return table.assign(
        text=[" ".join(words[rank] for rank in texts[review]) for review in table["review"]]
    )


def test_concurrent_requests_get_the_predictions_of_the_evaluation_to_the_bit(
    server: Server, reviews: pd.DataFrame
) -> None:
    with ThreadPoolExecutor(16) as pool:
        responses = [*pool.map(lambda text: server.predict([text]), reviews["text"])]
    predictions = [response["predictions"][0] for response in responses]
    assert [each["label"] for each in predictions] == reviews["predicted"].tolist()
    for label in LABELS[FIRST]:
        probabilities = np.array([each["probabilities"][label] for each in predictions], np.float32)
        np.testing.assert_array_equal(probabilities, reviews[f"probability_{label}"])


@pytest.mark.usefixtures("finished")
def test_explanation_has_all_pieces_of_the_text_and_the_numbers_of_the_model(
    server: Server,
) -> None:
    explained = server.post("explain", {"text": REVIEW})
    expected = versions.load_model(FIRST).explain(REVIEW)
    assert explained["version"] == FIRST
    assert (explained["label"], explained["probability"]) == expected[:2]
    assert "".join(piece["text"] for piece in explained["pieces"]) == REVIEW
    words = [piece for piece in explained["pieces"] if piece["log_odds"] is not None]
    assert [(word["text"], word["log_odds"]) for word in words] == [
        (REVIEW[word.start : word.end], word.log_odds) for word in expected.words
    ]
    assert words[-1]["probability"] == expected.probability


def write_text(browser: webdriver.Chrome, content: str) -> None:
    """Type a text by the keyboard alone. The box has the focus once the page is loaded."""
    box = browser.switch_to.active_element
    assert box.accessible_name == "Text"
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(Keys.DELETE)
    browser.execute_cdp_cmd("Input.insertText", {"text": content})  # keys have no emoji
    box.send_keys(Keys.CONTROL, Keys.ENTER)


def resize(browser: webdriver.Chrome, width: int) -> None:
    """Set the width of the page in pixels. A window cannot be as narrow as a phone."""
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


SHOWN_LABELS: list[tuple[dict[str, float], str]] = [
    ({"negative": 0.3, "positive": 0.7}, ""),
    (
        {"negative": 0.414, "neutral": 0.396, "positive": 0.19},
        "negative 41.4% · neutral 39.6% · positive 19.0%",
    ),
]


def check_explanation(browser: webdriver.Chrome, explained: dict[str, Any]) -> None:
    """Check the text with its colored words, and the chart."""
    words = [piece for piece in explained["pieces"] if piece["log_odds"] is not None]
    assert browser.find_element(By.ID, "words").text == REVIEW
    strongest = max(words, key=lambda word: abs(word["log_odds"]))
    effect = "opposes" if strongest["log_odds"] < 0 else "supports"
    marks = browser.find_elements(By.CSS_SELECTOR, f"#words mark.{effect}")
    assert strongest["text"] in [mark.text for mark in marks]
    points = browser.find_elements(By.CSS_SELECTOR, "#chart circle")
    heights = [float(str(point.get_attribute("cy"))) for point in points]
    probabilities = [word["probability"] for word in words]
    assert np.corrcoef(heights, probabilities)[0, 1] < -0.999  # y grows downwards


def test_page_shows_label_words_and_chart_at_any_width(server: Server, tmp_path: Path) -> None:
    explained = server.post("explain", {"text": REVIEW})
    verdict = f"{explained['label']} {100 * explained['probability']:.1f}%"
    with chromium(tmp_path / "profile") as browser:
        for width in (1200, 320):
            resize(browser, width)
            open_page(browser, server.url, FIRST, "0 of 20,000 characters")
            write_text(browser, "")
            assert "There is no text." in text(browser)
            write_text(browser, REVIEW)
            WebDriverWait(browser, SECONDS).until(lambda page: verdict in text(page))
            assert "There is no text." not in text(browser)
            check_explanation(browser, explained)
            assert browser.execute_script(OVERFLOW) == 0
            keep_screenshot(browser, f"serve-{width}")
        for shares, shown in SHOWN_LABELS:
            assert browser.execute_script("return describeLabels(arguments[0])", shares) == shown
        # What the page's policy refuses would be here.
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_new_champion_is_served_without_a_lost_or_mixed_response(
    server: Server, served: ProjectCopy, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(served, monkeypatch)
    run_id = str(mlflow.MlflowClient().get_model_version(MODEL, "2").run_id)
    is_over = threading.Event()

    def predict_until_over() -> list[Any]:
        responses = []
        while not is_over.is_set():
            responses.append(server.predict(["a fine film"] * 20, **{"X-Request-Id": "follow"}))
        return responses

    with ThreadPoolExecutor() as pool:
        clients = [pool.submit(predict_until_over) for _ in range(3)]
        try:
            assert server.version() == FIRST
            sentiment("promote", run_id)
            wait_until(lambda: server.version() == SECOND)
        finally:
            is_over.set()
        responses = [response for client in clients for response in client.result()]
    responses.append(server.predict(["a fine film"] * 20, **{"X-Request-Id": "follow"}))
    assert {response["version"] for response in responses} == {FIRST, SECOND}
    for response in responses:
        labels = {label for each in response["predictions"] for label in each["probabilities"]}
        assert labels == LABELS[response["version"]]
    logged = [line for line in server.read_log() if line["request_id"].startswith("follow")]
    assert len(logged) == 20 * len(responses)
    assert all(line["probabilities"].keys() == LABELS[line["version"]] for line in logged)


def test_arguments_are_refused_before_a_model_is_loaded(
    in_tmp_path: Path, sentiment: Command
) -> None:
    port = str(free_port())
    refusal = sentiment.fail("serve", "--port", port, "--log", __file__)
    assert refusal.startswith(f"Error: Predictions cannot be logged in {__file__}: ")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Error: Port {port} cannot be used" in sentiment.fail("serve", "--port", port)
    assert [*in_tmp_path.iterdir()] == []
