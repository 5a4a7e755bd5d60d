"""A real server predicts raw texts as the evaluation did; commands change the champion."""

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from numpy.typing import NDArray

from tests.conftest import Caller, own_copy, stand_in
from tests.project import MODEL, Project, free_port, wait_for, wait_until
from tools import demote, predict, promote, serve
from workflow.params import load_params
from workflow.registry.champion import champion_version, model_uri_of

pytestmark = pytest.mark.slow
REVIEWS = 1000


class Server(NamedTuple):
    """A server of the champion, and the folder of its log."""

    project: Project
    url: str
    log: Path

    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        response = requests.post(f"{self.url}/invocations", json={"inputs": texts}, timeout=120)
        assert response.status_code == 200, response.text
        predictions: list[dict[str, Any]] = response.json()["predictions"]
        return predictions

    def version(self) -> str:
        return str(requests.get(f"{self.url}/version", timeout=120).json()["model"])


def read_log(folder: Path) -> list[str]:
    (path,) = folder.iterdir()
    return path.read_text(encoding="utf-8").splitlines()


@contextmanager
def running_server(project: Project, log: Path, **environment: str) -> Iterator[Server]:
    """Run `make serve` in a project until the context ends."""
    port = free_port()
    process = project.start(
        "python",
        "-m",
        "tools.serve",
        SERVE_PORT=str(port),
        LOG=str(log),
        MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
        **environment,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/health")
        yield Server(project, url, log)
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Serving models:/" in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def server(imdb_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the champion that was trained on IMDB by `make serve`."""
    with running_server(imdb_project, tmp_path_factory.mktemp("log")) as server:
        yield server


@pytest.fixture(scope="module")
def reviews(imdb_project: Project) -> tuple[list[str], NDArray[np.float32]]:
    """Return real test reviews as texts, and the probabilities that the evaluation wrote."""
    data = imdb_project.path / "data"
    index = json.loads((data / "fetch" / "word_index.json").read_bytes())
    words = ["", *sorted(index, key=index.__getitem__)]
    tokens = np.load(data / "fetch" / "test_tokens.npy")
    offsets = np.load(data / "fetch" / "test_offsets.npy")
    order = np.load(data / "pad" / "test_order.npy")[:REVIEWS]
    texts = [
        " ".join(words[rank] for rank in tokens[offsets[review] : offsets[review + 1]])
        for review in order
    ]
    return texts, np.load(data / "evaluate" / "probabilities.npy")[:REVIEWS]


def probabilities(predictions: list[dict[str, Any]]) -> NDArray[np.float32]:
    return np.array([prediction["probability"] for prediction in predictions], np.float32)


def test_many_reviews_at_once_get_the_bits_of_the_evaluation(
    server: Server, reviews: tuple[list[str], NDArray[np.float32]]
) -> None:
    texts, expected = reviews
    predictions = server.predict(texts)
    np.testing.assert_array_equal(probabilities(predictions), expected)
    table = pd.read_csv(server.project.path / "data/evaluate/predictions.csv")
    assert [one["label"] for one in predictions] == table["predicted"][:REVIEWS].tolist()
    threshold = load_params(server.project.path / "params.yaml").evaluate.threshold
    assert ((expected > 0.5) & (expected <= threshold)).any()  # so it is not the default threshold


def test_reviews_of_fifty_clients_get_the_bits_of_the_evaluation(
    server: Server, reviews: tuple[list[str], NDArray[np.float32]]
) -> None:
    texts, expected = reviews
    with ThreadPoolExecutor(50) as pool:
        responses = list(pool.map(lambda text: server.predict([text]), texts[:200]))
    predicted = np.concatenate([probabilities(predictions) for predictions in responses])
    np.testing.assert_array_equal(predicted, expected[:200])


def test_each_text_is_logged_with_its_version_and_without_the_text(server: Server) -> None:
    headers = {"X-Request-Id": "mine"}
    body = {"inputs": ["A fine zzzunheard film.", "dull " * 300]}
    requests.post(f"{server.url}/invocations", json=body, headers=headers, timeout=120)
    (path,) = server.log.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    logged = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    first, second = [line for line in logged if line["request_id"].startswith("mine")]
    expected = {"version": "models:/imdb-sentiment/1", "words": 4, "unknown": 0.25}
    assert first.items() >= {**expected, "truncated": False}.items()
    assert second.items() >= {"words": 300, "unknown": 0, "truncated": True}.items()
    assert not any("text" in line for line in logged)


def test_odd_texts_are_predicted(server: Server) -> None:
    predictions = server.predict(["", "zzzunheard", "?!", "naïve Åge ☃", "\u0000"])
    assert all(0 < prediction["probability"] < 1 for prediction in predictions)


def test_long_text_is_predicted_by_its_end(server: Server) -> None:
    end = "a fine film " * 100
    long = "dull and boring " * (2 * 2**20 // 16) + end
    assert server.predict([long]) == server.predict(["dull " * 200 + end])


def test_predict_prints_the_prediction_and_the_words_that_matter_most(
    server: Server, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(server.project.path, monkeypatch)
    text = "An excellent film, not dull."
    assert "excellent" in call(predict.main, TEXT=text)
    result = call.json(predict.main, TEXT=text)
    (served,) = server.predict([text])
    assert (result["label"], result["probability"]) == (served["label"], served["probability"])
    effects = [abs(word["log_odds"]) for word in result["words"]]
    assert effects == sorted(effects, reverse=True)
    assert {word["word"] for word in result["words"]} <= {"An", "excellent", "film", "not", "dull"}


def test_new_champion_is_served_without_losing_a_request(
    two_runs: Project, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = own_copy(two_runs, tmp_path, monkeypatch)
    champion = champion_version()
    versions = sorted(mlflow.MlflowClient().search_model_versions(), key=lambda one: one.version)
    (other,) = [version for version in versions if version.version != champion.version]
    with (
        running_server(project, tmp_path / "log") as server,
        running_server(
            project, tmp_path / "log of the pinned", MODEL=model_uri_of(champion)
        ) as pinned,
        ThreadPoolExecutor() as pool,
    ):
        is_over = threading.Event()

        def predict_until_over() -> int:
            count = 0
            while not is_over.is_set():
                server.predict(["a fine film"])
                count += 1
            return count

        count = pool.submit(predict_until_over)
        call(promote.main, "--run", str(other.run_id))
        wait_until(lambda: server.version() == model_uri_of(other), seconds=60)
        is_over.set()
        responses = count.result()
        server.predict(["a fine film"])  # at least one by the new champion
        logged = [json.loads(line)["version"] for line in read_log(server.log)]
        assert len(logged) == responses + 1
        assert set(logged) == {model_uri_of(champion), model_uri_of(other)}
        assert pinned.version() == model_uri_of(champion)


def test_person_demotes_and_promotes(project: Project, call: Caller) -> None:
    assert "there is no champion now" in call(demote.main)
    promoted = call.json(promote.main, "--run", project.run_id)
    assert promoted["champion"] == "1"
    assert f"run {project.run_id}, is now the champion" in promoted["message"]
    assert "label" in call(predict.main, TEXT="a")


@pytest.mark.usefixtures("project")
def test_without_a_champion_the_ways_to_one_are_named(call: Caller) -> None:
    call(demote.main)
    for tool in (predict, serve):
        message = call.fail(tool.main, TEXT="a", SERVE_PORT=str(free_port()))
        assert f"There is no champion of {MODEL} yet" in message
        assert "make promote RUN=" in message


def test_missing_option_is_named_with_its_variable(call: Caller) -> None:
    for tool, name in ((predict, "text"), (promote, "run")):
        message = call.fail(tool.main)
        assert f"Missing option '--{name}' (env var: '{name.upper()}')" in message


def test_log_of_texts_needs_a_folder(call: Caller) -> None:
    assert "Add LOG=log" in call.fail(serve.main, LOG_TEXTS="1")
