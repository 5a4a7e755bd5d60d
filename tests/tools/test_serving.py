"""The champion answers raw text through a real server as the evaluation did, whatever is sent."""

import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import requests

from tests.conftest import Caller, stand_in
from tests.project import MODEL, Project, free_port, wait_for
from tools import demote, predict, promote, serve

REVIEWS = 1000
JSON = "application/json"


class Server(NamedTuple):
    """A server of the champion."""

    project: Project
    port: int

    def post(self, body: bytes | str, content_type: str | None = JSON) -> requests.Response:
        address = f"http://127.0.0.1:{self.port}/invocations"
        headers = {"Content-Type": content_type} if content_type else {}
        sent = body.encode() if isinstance(body, str) else body
        return requests.post(address, sent, headers=headers, timeout=120)

    def ask(self, texts: list[str]) -> list[dict[str, Any]]:
        records = [{"text": text} for text in texts]
        return predictions(self.post(json.dumps({"dataframe_records": records})))


def predictions(answer: requests.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["predictions"]
    return rows


@pytest.fixture(scope="module")
def server(imdb_project: Project) -> Iterator[Server]:
    port = free_port()
    settings = {"SERVE_PORT": str(port), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    process = imdb_project.start("python", "-m", "tools.serve", **settings)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield Server(imdb_project, port)
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert "Serving models:/imdb-sentiment@champion" in output
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
    answers = [predictions(server.post(*body)) for body in bodies]
    assert answers == [server.ask(["A fine film."])] * len(bodies)


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


def test_no_file_of_the_model_is_a_pickle(imdb_project: Project) -> None:
    (settings,) = imdb_project.path.glob("mlruns/1/models/*/artifacts/artifacts/settings.json")
    suffixes = {path.suffix for path in settings.parents[1].rglob("*") if path.is_file()}
    assert suffixes <= {"", ".py", ".json", ".yaml", ".txt", ".keras"}


@pytest.mark.usefixtures("inside")
def test_predict_prints_label_probability_and_the_words_that_moved_it_most(call: Caller) -> None:
    text = "An excellent film, not dull."
    line = r"^(positive|negative) +0\.\d{4}  An excellent film, not dull\. .*excellent [+-]\d\.\d\d"
    assert re.search(line, call(predict.main, TEXT=text), re.MULTILINE)
    answer = json.loads(call(predict.main, "--json", TEXT=text).splitlines()[-1])
    assert set(answer) == {"text", "label", "probability", "words"}
    effects = [abs(word["log_odds"]) for word in answer["words"]]
    assert effects == sorted(effects, reverse=True)
    assert {word["word"] for word in answer["words"]} <= {"An", "excellent", "film", "not", "dull"}


@pytest.mark.usefixtures("inside")
def test_predict_reads_a_csv_and_agrees_with_the_server(
    call: Caller, server: Server, tmp_path: Path
) -> None:
    texts = ["A fine film.", 'He said: "dull", twice', "", "nan"]
    pd.DataFrame({"id": range(4), "text": texts}).to_csv(tmp_path / "r.csv", index=False)
    output = call(predict.main, FILE=str(tmp_path / "r.csv"), JSON="1")
    answers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [answer["text"] for answer in answers] == texts
    rows = server.ask(texts)
    assert [answer["label"] for answer in answers] == [row["label"] for row in rows]
    np.testing.assert_array_equal(probabilities(answers), probabilities(rows))


def test_predict_says_what_is_wrong_with_its_options_and_a_file(
    call: Caller, tmp_path: Path
) -> None:
    file = tmp_path / "r.csv"
    assert f"{file}: No such file" in call.fail(predict.main, "--file", str(file))
    for content, message in (
        (b"review\na\n", "has no column 'text', but review"),
        (b"text\n\xff\n", "is not a CSV file in UTF-8"),
        (b"text\nA fine film, really\n", "more fields than the heading: put texts that hold"),
        (b"", "is not a CSV file in UTF-8"),
    ):
        file.write_bytes(content)
        assert message in call.fail(predict.main, "--file", str(file))
    for options in ([], ["--file", str(file), "--text", "a"]):
        assert "Give one: make predict TEXT=" in call.fail(predict.main, *options)


def test_a_person_promotes_and_demotes_and_without_a_champion_the_ways_on_are_named(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(project.path, monkeypatch)
    run_id = json.loads(Path("data/train/run.json").read_bytes())["run_id"]
    assert "there is no champion now" in call(demote.main)
    for tool in (predict, serve):
        output = call.fail(tool.main, TEXT="a", SERVE_PORT=str(free_port()))
        assert f"There is no champion of {MODEL} yet" in output
        assert "make promote RUN=" in output
    promoted = json.loads(call(promote.main, "--run", run_id, "--json").splitlines()[-1])
    assert promoted["champion"] == "1"
    assert f"run {run_id}, is champion now" in promoted["message"]
    assert "label" in call(predict.main, TEXT="a")
    assert "Missing option '--run' (env var: 'RUN')" in call.fail(promote.main)
    assert "has no registered version" in call.fail(promote.main, "--run", "0" * 32)
