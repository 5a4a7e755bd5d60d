"""The application predicts texts in MLflow's forms of JSON, and refuses everything else."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from starlette.testclient import TestClient

from sentiment.errors import UserError
from sentiment.serve import app, follow
from sentiment.serve.app import MAX_BODY_BYTES, create_app
from sentiment.serve.batching import Batcher
from sentiment.serve.follow import ServedVersion
from sentiment.serve.log import PredictionLog
from sentiment.serve.schemas import (
    FORMS,
    MAX_EXPLAINED_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MAX_TEXTS,
    ExplanationResponse,
)
from tests.serve.stub_model import StubModel
from tests.small_project import wait_until

VERSION = "models:/stub/3"
NEW_VERSION = "models:/stub/4"
TEXTS = ["A fine film.", "dull"]
ADVICE = "Send JSON with the header Content-Type: application/json. /openapi.json has its form."
BODIES = [
    {"dataframe_records": [{"text": TEXTS[0]}, {"text": TEXTS[1], "stars": 1}]},
    {"dataframe_split": {"index": [0, 1], "columns": ["text"], "data": [[TEXTS[0]], [TEXTS[1]]]}},
    {"inputs": TEXTS, "params": {"a": 1}, "other": None},
]


def served(model: StubModel, uri: str = VERSION) -> ServedVersion:
    batcher = Batcher(model.predict_texts)
    return ServedVersion(uri, cast(Any, model), batcher, asyncio.Lock())


@pytest.fixture
def model() -> StubModel:
    return StubModel()


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log")


@pytest.fixture
def client(model: StubModel, log: PredictionLog) -> Iterator[TestClient]:
    # The context keeps one event loop for all requests, as a server does.
    with TestClient(create_app(served(model), log), raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, body: str | bytes, path: str = "/invocations") -> httpx2.Response:
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


def expected_response(texts: Sequence[str], uri: str = VERSION) -> dict[str, Any]:
    predictions = [StubModel.predict_text(text) for text in texts]
    rows = [
        {
            "label": row.label,
            "probability": row.probabilities[row.label],
            "probabilities": row.probabilities,
        }
        for row in predictions
    ]
    return {"version": uri, "predictions": rows}


def read_log(log: PredictionLog) -> list[dict[str, Any]]:
    paths = sorted(log.folder.glob("*.jsonl"))
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def read_metrics(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: next(iter(body)))
def test_each_form_of_mlflow_is_predicted(client: TestClient, body: dict[str, Any]) -> None:
    response = client.post("/invocations", json=body)
    assert response.status_code == 200
    assert response.json() == expected_response(TEXTS)


@pytest.mark.parametrize("texts", [[], [""], ["naïve Åge ☃ 😀\u0000"]], ids=len)
def test_odd_texts_are_predicted(client: TestClient, texts: list[str]) -> None:
    response = client.post("/invocations", json={"inputs": texts})
    assert response.json() == expected_response(texts)


STRING = "Input should be a valid string"
ONE_FORM = "body: exactly one of dataframe_records, dataframe_split, inputs is needed"
TOO_LONG = f"List should have at most {MAX_TEXTS} items after validation, not {MAX_TEXTS + 1}"
MANY = MAX_TEXTS + 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"dataframe_records": [{"text": 5}]}, f"dataframe_records.0.text: {STRING}"),
        ({"dataframe_records": [{"review": "a"}]}, "dataframe_records.0.text: Field required"),
        ({"inputs": ["a", 5]}, f"inputs.1: {STRING}"),
        ({"inputs": ["a"] * MANY}, f"inputs: {TOO_LONG}"),
        (
            {"inputs": ["a" * (MAX_TEXT_CHARACTERS + 1)]},
            f"inputs.0: String should have at most {MAX_TEXT_CHARACTERS} characters",
        ),
        (
            {"inputs": ["\ud800"]},
            f"inputs.0: {STRING}, unable to parse raw data as a unicode string",
        ),
        ({"inputs": ["a"], "dataframe_records": []}, ONE_FORM),
        ({"instances": ["a"]}, ONE_FORM),
        (
            {"dataframe_split": {"columns": ["text"], "data": [["a"], ["a", "b"]]}},
            "dataframe_split.data.1: Tuple should have at most 1 item after validation, not 2",
        ),
        (
            {"dataframe_split": {"columns": ["text"], "data": [[5]]}},
            f"dataframe_split.data.0.0: {STRING}",
        ),
        (
            {"dataframe_split": {"columns": ["review"], "data": [["a"]]}},
            "dataframe_split.columns.0: Input should be 'text'",
        ),
        (
            {"dataframe_split": {"columns": ["text"], "data": [["a"]] * MANY}},
            f"dataframe_split.data: {TOO_LONG}",
        ),
        (5, "body: Input should be a valid dictionary or object to extract fields from"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_body_that_is_not_texts_gets_a_422_with_the_problem(
    client: TestClient, model: StubModel, body: Any, problem: str
) -> None:
    response = post(client, json.dumps(body))
    assert response.status_code == 422
    assert response.json() == {"detail": f"{problem}. {ADVICE}"}
    assert model.batches == []


@pytest.mark.parametrize(
    "body",
    [
        f'{{"inputs": [{",".join(["5"] * 1_000_000)}]}}',
        f'{{"dataframe_split": {{"columns": [{",".join(["5"] * 1_000)}], "data": []}}}}',
        "x" * 2**20,
        "",
    ],
    ids=["a million numbers", "a thousand columns", "no JSON", "empty"],
)
def test_long_nonsense_gets_one_short_message(client: TestClient, body: str) -> None:
    response = post(client, body)
    assert response.status_code == 422
    assert response.json()["detail"].endswith(ADVICE)
    assert len(response.content) < 500


def test_location_of_a_mistake_in_json_is_named(client: TestClient) -> None:
    detail = post(client, '{"inputs": ["a"').json()["detail"]
    assert detail.startswith("body, character 15: JSON decode error, Expecting ',' delimiter. ")


@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, b'{"inputs": ["\xff\xfe"]}', f'{{"inputs": [{"1" * 5000}]}}'],
    ids=["deep", "bytes", "int"],
)
def test_body_that_cannot_be_read_gets_a_400(client: TestClient, body: str | bytes) -> None:
    response = post(client, body)
    assert response.status_code == 400
    assert response.json() == {"detail": "There was an error parsing the body"}


@pytest.mark.parametrize("chunks", [1, 17])
def test_body_over_the_limit_gets_a_413(client: TestClient, model: StubModel, chunks: int) -> None:
    body: Any = b"0" * (MAX_BODY_BYTES + 1)
    if chunks > 1:  # then its length is not declared
        body = (b"0" * 2**20 for _ in range(chunks))
    response = post(client, body)
    assert response.status_code == 413
    assert model.batches == []


def test_failing_model_gets_a_500_without_a_traceback(client: TestClient, model: StubModel) -> None:
    model.error = ValueError("secret")
    response = client.post("/invocations", json={"inputs": ["a"]})
    assert response.status_code == 500
    detail = "The model failed. The server's terminal shows the traceback."
    assert response.json() == {"detail": detail}
    model.error = None
    assert client.post("/invocations", json={"inputs": ["a"]}).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_server_that_is_ready_says_ok(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_version_names_the_model_version_and_mlflow(client: TestClient) -> None:
    assert client.get("/version").json() == {"model": VERSION, "mlflow": version("mlflow")}


def test_schema_describes_the_requests_with_their_limits_and_all_responses(
    client: TestClient,
) -> None:
    schema = client.get("/openapi.json").json()
    for path in ("/invocations", "/explain"):
        responses = schema["paths"][path]["post"]["responses"]
        assert responses.keys() == {"200", "400", "413", "422", "500"}
    request = schema["components"]["schemas"]["PredictionRequest"]
    assert request["properties"].keys() == {*FORMS}
    assert request["properties"]["inputs"]["maxItems"] == MAX_TEXTS


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_no_page_loads_a_script_from_the_internet(client: TestClient, page: str) -> None:
    assert client.get(page).status_code == 404


def test_the_links_of_the_page_are_there(client: TestClient) -> None:
    links = re.findall(r'<a href="([^"]+)"', client.get("/").text)
    assert links
    assert {client.get(link).status_code for link in links} == {200}


@pytest.mark.parametrize(
    ("sent", "returned"),
    [({"X-Request-Id": "mine:7"}, "mine:7"), ({}, "[0-9a-f]{32}")],
    ids=["sent", "generated"],
)
@pytest.mark.parametrize("body", [{"inputs": ["a"]}, {}], ids=["predicted", "refused"])
def test_response_has_the_id_of_the_request(
    client: TestClient, sent: dict[str, str], returned: str, body: dict[str, Any]
) -> None:
    response = client.post("/invocations", json=body, headers=sent)
    assert re.fullmatch(returned, response.headers["X-Request-Id"])


def test_each_text_is_logged_with_the_id_of_the_request(
    client: TestClient, log: PredictionLog
) -> None:
    client.post("/invocations", json={"inputs": TEXTS}, headers={"X-Request-Id": "mine"})
    client.post("/invocations", json={"inputs": ["refused", 5]})
    logged = [(line["request_id"], line["text"]) for line in read_log(log)]
    assert logged == [("mine-0", TEXTS[0]), ("mine-1", TEXTS[1])]


def test_texts_are_predicted_if_they_cannot_be_logged(
    client: TestClient, log: PredictionLog, capsys: pytest.CaptureFixture[str]
) -> None:
    log.folder.write_text("not a folder", encoding="utf-8")
    response = client.post("/invocations", json={"inputs": TEXTS})
    assert response.json() == expected_response(TEXTS)
    assert "Predictions are not logged" in capsys.readouterr().err


def test_metrics_count_requests_and_texts(client: TestClient, model: StubModel) -> None:
    before = read_metrics(client)
    texts = ["a zzza fine film", "dull", "dull b c d e f"]
    client.post("/invocations", json={"inputs": texts})
    client.post("/invocations", json={"inputs": [5]})
    post(client, b"0" * (MAX_BODY_BYTES + 1))
    model.error = ValueError("broken")
    client.post("/invocations", json={"inputs": ["a"]})
    client.get("/health")
    metrics = read_metrics(client)
    changes = {name: value - before.get(name, 0) for name, value in metrics.items()}
    for status in (200, 413, 422, 500):
        assert changes[f'sentiment_requests_total{{status="{status}"}}'] == 1
    assert changes["sentiment_request_seconds_count"] == 4
    assert changes['sentiment_predictions_total{label="positive"}'] == 1
    assert changes['sentiment_predictions_total{label="negative"}'] == 2
    assert changes["sentiment_words_total"] == 11
    assert changes["sentiment_unknown_words_total"] == 1
    assert changes["sentiment_truncated_texts_total"] == 1
    assert metrics[f'sentiment_model_info{{version="{VERSION}"}}'] == 1


def test_request_is_predicted_and_logged_by_the_version_that_received_it(
    model: StubModel, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "CHECK_SECONDS", 0.01)
    is_busy = threading.Event()
    is_replaced = threading.Event()

    def predict_slowly(texts: Sequence[str]) -> list[Any]:
        is_busy.set()
        assert is_replaced.wait(60)
        return [StubModel.predict_text(text) for text in texts]

    def find_replacement(uri: str) -> ServedVersion | None:
        assert is_busy.wait(60)
        return served(StubModel(), NEW_VERSION) if uri == VERSION else None

    monkeypatch.setattr(model, "predict_texts", predict_slowly)
    application = create_app(served(model), log, find_replacement)
    with TestClient(application) as client, ThreadPoolExecutor() as pool:
        earlier = pool.submit(client.post, "/invocations", json={"inputs": ["a"]})
        wait_until(lambda: client.get("/version").json()["model"] == NEW_VERSION)
        later = client.post("/invocations", json={"inputs": ["b"]})
        is_replaced.set()
        assert earlier.result().json() == expected_response(["a"])
    assert later.json() == expected_response(["b"], NEW_VERSION)
    assert [line["version"] for line in read_log(log)] == [NEW_VERSION, VERSION]


def test_problem_with_another_version_is_reported_once_and_the_server_continues(
    model: StubModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "CHECK_SECONDS", 0.01)
    calls: list[str] = []

    def find_replacement(uri: str) -> ServedVersion | None:
        calls.append(uri)
        raise UserError("The store is away.")

    with TestClient(create_app(served(model), None, find_replacement)) as client:
        wait_until(lambda: len(calls) > 2)
        assert client.post("/invocations", json={"inputs": ["a"]}).status_code == 200
    assert caplog.messages == [f"{VERSION} is still served. The store is away."]


def test_other_requests_get_predictions_while_a_text_is_explained(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_running = threading.Event()
    may_end = threading.Event()

    def explain_slowly(uri: str, _: Any, text: str) -> ExplanationResponse:
        is_running.set()
        assert may_end.wait(60)
        return ExplanationResponse(
            version=uri, label=text, probability=1, probabilities={text: 1}, pieces=[]
        )

    monkeypatch.setattr(app, "explain_text", explain_slowly)
    with ThreadPoolExecutor() as pool:
        explained = pool.submit(client.post, "/explain", json={"text": "a"})
        assert is_running.wait(60)
        assert client.post("/invocations", json={"inputs": ["a"]}).status_code == 200
        may_end.set()
        assert explained.result().json()["label"] == "a"


@pytest.mark.parametrize("text", ["a" * (MAX_EXPLAINED_CHARACTERS + 1), "\ud800"], ids=len)
def test_text_that_cannot_be_explained_gets_a_422(client: TestClient, text: str) -> None:
    response = post(client, json.dumps({"text": text}), "/explain")
    assert response.status_code == 422
    assert response.json()["detail"].startswith("text: ")


def test_page_is_allowed_to_load_only_what_is_in_it(client: TestClient) -> None:
    response = client.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert f'data-limit="{MAX_EXPLAINED_CHARACTERS}"' in response.text
