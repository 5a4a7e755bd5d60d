"""The champion answers raw text through a real server as the evaluation did, whatever is sent."""

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import requests

from tests.conftest import Caller, stand_in
from tests.project import MODEL, ROOT, Project, free_port, wait_for
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


def test_a_thousand_real_reviews_get_the_evaluation_s_bits(
    server: Server, reviews: tuple[list[str], np.ndarray]
) -> None:
    texts, expected = reviews
    rows = server.ask(texts)
    np.testing.assert_array_equal(probabilities(rows), expected)
    labels = [row["label"] for row in rows]
    written = pd.read_csv(server.project.path / "data/evaluate/predictions.csv")["predicted"]
    assert labels == written[:REVIEWS].tolist()
    assert set(labels) == {"positive", "negative"}


def test_fifty_clients_at_once_get_the_same_bits(
    server: Server, reviews: tuple[list[str], np.ndarray]
) -> None:
    texts, expected = reviews
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda number: server.ask([texts[number]]), range(200)))
    answered = np.concatenate([probabilities(answer) for answer in answers])
    np.testing.assert_array_equal(answered, expected[:200])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"inputs": ["A fine film."]}', JSON),
        ('{"inputs": {"text": ["A fine film."]}}', JSON),
        ('{"instances": [{"text": "A fine film."}]}', JSON),
        ('{"dataframe_split": {"columns": ["text"], "data": [["A fine film."]]}}', JSON),
        ('text\n"A fine film."\n', "text/csv"),
    ],
)
def test_every_form_that_mlflow_knows_is_answered(
    server: Server, body: str, content_type: str
) -> None:
    assert predictions(server.post(body, content_type)) == server.ask(["A fine film."])


def test_call_of_the_docs_is_answered(server: Server) -> None:
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    documented = re.search(r"^ {4}(curl .*?[^\\])$", page, re.MULTILINE | re.DOTALL)
    assert documented is not None
    command = documented[1].replace(":5001/", f":{server.port}/")
    assert command != documented[1]
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)["predictions"]
    assert [set(row) for row in rows] == [{"label", "probability"}] * len(rows)
    assert rows


def test_odd_texts_are_answered_and_one_of_ten_megabytes_by_its_end(server: Server) -> None:
    for text in ["", "zzzunheard", "?!", "film", "naïve Åge ☃", "\u0000"]:
        (row,) = server.ask([text])
        assert 0 < row["probability"] < 1
    end = "a fine film " * 100
    whole = "dull and boring " * (10 * 2**20 // 16) + end
    assert server.ask([whole]) == server.ask(["dull " * 200 + end])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"dataframe_records": [{"text": 5}]}', JSON),
        ('{"dataframe_records": [{"text": {"text": {"a": ["b"]}}}]}', JSON),
        ('{"dataframe_records": "A fine film."}', JSON),
        ('{"dataframe_split": {"data": 5}}', JSON),
        ('{"inputs": {"text": {"a": {"b": 1}}}}', JSON),
        ('{"inputs": "A fine film."}', JSON),
        ('{"inputs": [5]}', JSON),
        ('{"inputs": {"review": "a"}}', JSON),
        ('{"dataframe_records": [{"review": "a"}]}', JSON),
        ('{"inputs": {"text": {"text": "a"}}}', JSON),
        ('{"instances": [{"text": {"a": 1}}]}', JSON),
        ('{"inputs": ["\\ud800"]}', JSON),
        ('["A fine film."]', JSON),
        ("[" * 100_000, JSON),
        ("", JSON),
        (b'{"inputs": ["\xff\xfe"]}', JSON),
        (b"text\n\xff\xfe\n", "text/csv"),
        ('text\n"never closed', "text/csv"),
        ("a,b\n1,2\n1,2,3,4\n", "text/csv"),
        ("id,text\n1,A fine film, really.\n", "text/csv; charset=utf-8"),
        ("", "text/csv"),
        (b"PAR1 no parquet", "application/vnd.apache.parquet"),
        ("A fine film.", None),
        ('{"inputs": ["a"]}', "application/json; charset=latin-1"),
    ],
)
def test_what_is_no_text_gets_a_clear_4xx_and_no_traceback(
    server: Server, body: bytes | str, content_type: str | None
) -> None:
    answer = server.post(body, content_type)
    assert 400 <= answer.status_code < 500, answer.text
    assert 0 < len(answer.text) < 1000
    for trace in ("Traceback", "stack_trace", 'File \\"', ".py"):
        assert trace not in answer.text
    assert len(server.ask(["A fine film."])) == 1


def test_a_wrong_row_is_named_and_megabytes_are_not_sent_back(server: Server) -> None:
    answer = server.post('{"dataframe_records": [{"text": "a"}, {"text": null}]}')
    assert "Row 1 of column 'text' is missing" in answer.json()["message"]
    answer = server.post("x" * 10 * 2**20)
    assert answer.status_code == 400
    assert len(answer.text) < 1000


def test_no_file_of_the_model_is_a_pickle(imdb_project: Project) -> None:
    (settings,) = imdb_project.path.glob("mlruns/1/models/*/artifacts/artifacts/settings.json")
    suffixes = {path.suffix for path in settings.parents[1].rglob("*") if path.is_file()}
    assert suffixes <= {"", ".py", ".json", ".yaml", ".txt", ".keras"}


@pytest.mark.usefixtures("inside")
def test_predict_prints_label_probability_and_the_words(call: Caller) -> None:
    output = call(predict.main, TEXT="An excellent film, not dull.")
    line = r"^(positive|negative) +0\.\d{4}  An excellent film, not dull\. .*excellent [+-]\d\.\d\d"
    assert re.search(line, output, re.MULTILINE)


@pytest.mark.usefixtures("inside")
def test_predict_reads_standard_input_and_prints_json_with_each_word_s_answer(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = io.BytesIO("Dull — and not good!\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(typed))
    answer = json.loads(call(predict.main, "--json", "--trace").splitlines()[-1])
    assert set(answer) == {"text", "label", "probability", "words", "trace"}
    assert {"word", "log_odds"} == set(answer["words"][0])
    effects = [abs(word["log_odds"]) for word in answer["words"]]
    assert effects == sorted(effects, reverse=True)
    assert [step["word"] for step in answer["trace"]] == ["Dull", "and", "not", "good"]
    assert answer["trace"][-1]["probability"] == answer["probability"]
    assert all(set(step) == {"word", "probability"} for step in answer["trace"])


def test_trace_without_json_is_a_usage_error(call: Caller) -> None:
    assert "--trace (TRACE) is for --json" in call.fail(predict.main, "--trace", TEXT="a")


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"review\na\n", "has no column 'text', but review"),
        (b"text\n\xff\n", "is not a CSV file in UTF-8"),
        (b"text\nA fine film, really\n", "more fields than the heading: put texts that hold"),
        (b"text\na\nA fine film, really\n", "Expected 1 fields in line 3, saw 2"),
        (b"text\n", "has no row"),
        (b"", "is not a CSV file in UTF-8"),
        (None, "There is no file"),
    ],
)
def test_predict_says_what_is_wrong_with_a_file(
    call: Caller, tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "r.csv"
    if content is not None:
        file.write_bytes(content)
    assert message in call.fail(predict.main, FILE=str(file))


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
