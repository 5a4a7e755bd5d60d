"""The champion answers raw text through a real server as the evaluation did, whatever is sent."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.models.cli import generate_dockerfile
from workflow.registry.scoring_server import FOLDER, VERSION

from tests.conftest import Caller, stand_in
from tests.project import MODEL, Project, free_port, wait_for
from tests.services import kill
from tools import demote, predict, promote, serve

REVIEWS = 1000
JSON = "application/json"


class Server(NamedTuple):
    """A server of the champion, and the folder of its log."""

    project: Project
    port: int
    log: Path

    def post(
        self, body: bytes | str, content_type: str | None = JSON, **headers: str
    ) -> requests.Response:
        address = f"http://127.0.0.1:{self.port}/invocations"
        headers |= {"Content-Type": content_type} if content_type else {}
        sent = body.encode() if isinstance(body, str) else body
        return requests.post(address, sent, headers=headers, timeout=120)

    def ask(self, texts: list[str]) -> list[dict[str, Any]]:
        records = [{"text": text} for text in texts]
        return predictions(self.post(json.dumps({"dataframe_records": records})))

    def lines(self, answer: requests.Response) -> dict[str, dict[str, Any]]:
        """What is logged of a request, by what follows its id."""
        logged = (json.loads(line) for path in self.log.iterdir() for line in path.open())
        number = answer.headers["X-Request-Id"]
        rows = {line["request_id"]: line for line in logged if number in line["request_id"]}
        return {name.removeprefix(number): line for name, line in rows.items()}


def predictions(answer: requests.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["predictions"]
    return rows


@pytest.fixture(scope="module")
def server(imdb_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port, log = free_port(), tmp_path_factory.mktemp("log")
    settings = {"SERVE_PORT": str(port), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    settings["LOG"] = str(log)
    process = imdb_project.start("python", "-m", "tools.serve", **settings)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield Server(imdb_project, port, log)
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=300)
    assert "Serving models:/imdb-sentiment/1" in output  # the champion, now
    assert "Answers are not logged" not in output
    with pytest.raises(OSError, match="refused"):
        wait_for(f"http://127.0.0.1:{port}/health", seconds=0)


@pytest.fixture
def inside(imdb_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in the project."""
    stand_in(imdb_project.path, monkeypatch)


@pytest.fixture(scope="module")
def reviews(imdb_project: Project) -> tuple[list[str], np.ndarray]:
    """Real test reviews as texts, and the probabilities that the evaluation wrote for them."""
    data = imdb_project.path / "data"
    index = json.loads((data / "fetch" / "word_index.json").read_bytes())
    words = ["", *sorted(index, key=index.__getitem__)]
    tokens, offsets = (np.load(data / f"fetch/test_{name}.npy") for name in ("tokens", "offsets"))
    order = np.load(data / "pad" / "test_order.npy")[:REVIEWS]
    texts = [" ".join(words[r] for r in tokens[offsets[i] : offsets[i + 1]]) for i in order]
    return texts, np.load(data / "evaluate" / "probabilities.npy")[:REVIEWS]


def probabilities(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([row["probability"] for row in rows], np.float32)


def test_real_reviews_get_the_evaluation_s_bits_a_thousand_at_once_and_by_fifty_clients(
    server: Server, reviews: tuple[list[str], np.ndarray]
) -> None:
    texts, expected = reviews
    rows = server.ask(texts)
    np.testing.assert_array_equal(probabilities(rows), expected)
    written = pd.read_csv(server.project.path / "data/evaluate/predictions.csv")["predicted"]
    labels = written[:REVIEWS].tolist()
    assert [row["label"] for row in rows] == labels
    assert set(labels) == {"positive", "negative"}
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda number: server.ask([texts[number]]), range(200)))
    answered = np.concatenate([probabilities(answer) for answer in answers])
    np.testing.assert_array_equal(answered, expected[:200])


def test_every_form_that_mlflow_knows_is_answered(server: Server) -> None:
    bodies = [
        ('{"inputs": ["A fine film."]}', JSON),
        ('{"instances": ["A fine film."]}', JSON),
        ('{"dataframe_split": {"columns": ["text"], "data": [["A fine film."]]}}', JSON),
        ('text\n"A fine film."\n', "text/csv"),
    ]
    answers = [server.post(*body) for body in bodies]
    expected = server.ask(["A fine film."])
    assert [predictions(answer) for answer in answers] == [expected] * len(bodies)
    for answer in answers:
        ((place, line),) = server.lines(answer).items()
        assert (place, line["words"], line["probability"]) == ("", 3, expected[0]["probability"])


def test_each_text_of_a_request_is_logged_by_the_version_without_itself(server: Server) -> None:
    body = json.dumps({"inputs": ["A fine zzzunheard film.", "dull " * 300]})
    for number in ("", "mine:7"):
        answer = server.post(body, **{"X-Request-Id": number})
        assert answer.headers["X-Request-Id"] == number or len(number) < len("mine:7")
        lines = server.lines(answer)
        assert [*lines] == ["-0", "-1"]
        expected = {"version": "models:/imdb-sentiment/1", "words": 4, "unknown": 0.25}
        assert lines["-0"].items() >= {**expected, "truncated": False}.items()
        assert lines["-1"].items() >= {"words": 300, "unknown": 0, "truncated": True}.items()
        rows = predictions(answer)
        assert [line["probability"] for line in lines.values()] == [
            row["probability"] for row in rows
        ]
        assert all("text" not in line for line in lines.values())
    assert not any(b"zzzunheard" in path.read_bytes() for path in server.log.iterdir())
    assert server.lines(server.post('{"inputs": [5]}')) == {}


def test_odd_texts_are_answered_and_one_of_megabytes_by_its_end(server: Server) -> None:
    rows = server.ask(["", "zzzunheard", "?!", "naïve Åge ☃", "\u0000"])
    assert all(0 < row["probability"] < 1 for row in rows)
    end = "a fine film " * 100
    whole = "dull and boring " * (2 * 2**20 // 16) + end
    assert server.ask([whole]) == server.ask(["dull " * 200 + end])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"dataframe_records": [{"text": 5}]}', JSON),
        ('{"dataframe_records": [{"review": "a"}]}', JSON),
        ('{"inputs": ["\\ud800"]}', JSON),
        ("[" * 100_000, JSON),
        ("x" * 2**20, JSON),  # which is not sent back
        ("", JSON),
        (b'{"inputs": ["\xff\xfe"]}', JSON),
        ('text\n"never closed', "text/csv"),
        ("id,text\n1,A fine film, really.\n", "text/csv; charset=utf-8"),
        ("A fine film.", None),
    ],
)
def test_what_is_no_text_gets_a_clear_4xx_and_no_traceback(
    server: Server, body: bytes | str, content_type: str | None
) -> None:
    answer = server.post(body, content_type)
    assert 400 <= answer.status_code < 500, answer.text
    assert 0 < len(answer.text) < 1000
    assert not re.search(r"Traceback|stack_trace|\.py", answer.text)


@pytest.mark.usefixtures("inside")
def test_what_a_container_gets_serves_and_logs_by_two_processes_with_its_requirements_alone(
    server: Server, call: Caller, tmp_path: Path
) -> None:
    version, port, env = "models:/imdb-sentiment/1", free_port(), tmp_path / "env"
    call(generate_dockerfile, "--model-uri", version, "--output-directory", str(tmp_path))
    assert "COPY model_dir /opt/ml/model" in (tmp_path / "Dockerfile").read_text(encoding="utf-8")
    requirements = str(tmp_path / "model_dir" / "requirements.txt")
    install = ["pip", "install", "--python", str(env), "--requirement", requirements]
    for command in (["venv", "--python", sys.executable, str(env)], install):
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, *command], check=True, capture_output=True)
    settings = {"PATH": f"{env}/bin{os.pathsep}{os.defpath}", "HOME": str(tmp_path)}
    settings |= {FOLDER: "log", VERSION: version, "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "300"}
    serving = [f"{env}/bin/mlflow", "models", "serve", "--env-manager", "local", "--workers", "2"]
    serving += ["--model-uri", str(tmp_path / "model_dir"), "--port", str(port)]
    process = subprocess.Popen(serving, cwd=tmp_path, env=settings)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        elsewhere, texts = Server(server.project, port, tmp_path / "log"), ["A fine film."] * 20
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(elsewhere.ask, [texts] * 40))
    finally:
        kill(process)
    assert answers == [server.ask(texts)] * len(answers)
    (path,) = elsewhere.log.iterdir()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({line["request_id"] for line in lines}) == len(lines) == 40 * 20


def test_no_file_of_the_model_is_a_pickle(imdb_project: Project) -> None:
    (settings,) = imdb_project.path.glob("mlruns/1/models/*/artifacts/artifacts/config.json")
    suffixes = {path.suffix for path in settings.parents[1].rglob("*") if path.is_file()}
    assert suffixes <= {"", ".py", ".json", ".yaml", ".txt", ".keras"}


@pytest.mark.usefixtures("inside")
def test_predict_prints_the_server_s_answer_and_the_words_that_moved_it_most(
    call: Caller, server: Server
) -> None:
    text = "An excellent film, not dull."
    line = r"^(positive|negative) +0\.\d{4}  An excellent film, not dull\. .*excellent [+-]\d\.\d\d"
    assert re.search(line, call(predict.main, TEXT=text), re.MULTILINE)
    answer = call.json(predict.main, TEXT=text)
    words = answer.pop("words")
    assert answer.pop("text") == text
    assert [answer] == server.ask([text])
    effects = [abs(word["log_odds"]) for word in words]
    assert effects == sorted(effects, reverse=True)
    assert {word["word"] for word in words} <= {"An", "excellent", "film", "not", "dull"}


def test_a_person_promotes_and_demotes_and_without_a_champion_the_ways_on_are_named(
    project: Project, call: Caller
) -> None:
    run_id = project.run_id
    for tool, name in ((predict, "text"), (promote, "run")):
        assert f"Missing option '--{name}' (env var: '{name.upper()}')" in call.fail(tool.main)
    assert "there is no champion now" in call(demote.main)
    for tool in (predict, serve):
        output = call.fail(tool.main, TEXT="a", SERVE_PORT=str(free_port()))
        assert f"There is no champion of {MODEL} yet" in output
        assert "make promote RUN=" in output
    promoted = call.json(promote.main, "--run", run_id)
    assert promoted["champion"] == "1"
    assert f"run {run_id}, is champion now" in promoted["message"]
    assert "label" in call(predict.main, TEXT="a")
    mlflow.MlflowClient().delete_model_version_tag(MODEL, "1", "served.log")
    assert "add LOG=log" in call.fail(serve.main, LOG_TEXTS="1")
    message = call.fail(serve.main, SERVE_PORT=str(free_port()), LOG="log")
    assert f"models:/{MODEL}/1 cannot log: register it anew by `make repro`" in message
