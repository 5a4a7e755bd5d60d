"""The application predicts texts in MLflow's forms of JSON, and refuses everything else."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from starlette.testclient import TestClient

from extras.common.prediction_log import PredictionLog
from extras.serve.app import MAX_BODY_BYTES, UNREADABLE, create_app
from extras.serve.batching import Batcher
from extras.serve.champion import ServedModel
from extras.serve.schemas import ADVICE, FORMS, MAX_TEXTS
from sentiment.errors import UserError
from tests.extras.serve.stub_model import StubModel

VERSION = "models:/stub/3"
NEW_VERSION = "models:/stub/4"
TEXTS = ["A fine film.", "dull"]
JSON_HEADER = {"Content-Type": "application/json"}
BODIES = [
    {"dataframe_records": [{"text": "A fine film."}, {"text": "dull", "stars": 1}]},
    {"dataframe_split": {"columns": ["stars", "text"], "data": [[5, TEXTS[0]], [1, TEXTS[1]]]}},
    {"inputs": TEXTS},
    {"instances": TEXTS, "params": {"a": 1}, "other": None},
]


def served(model: StubModel, version: str) -> ServedModel:
    return ServedModel(version, Batcher(cast(Any, model).predict_texts))


@pytest.fixture
def model() -> StubModel:
    return StubModel()


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log", with_texts=False)


@pytest.fixture
def client(model: StubModel, log: PredictionLog) -> Iterator[TestClient]:
    # The context keeps one event loop for all requests, as a server does.
    with TestClient(create_app(served(model, VERSION), log)) as client:
        yield client


def post(client: TestClient, body: str | bytes) -> httpx2.Response:
    return client.post("/invocations", content=body, headers=JSON_HEADER)


def expected_rows(texts: Sequence[str]) -> list[dict[str, Any]]:
    predictions = [StubModel.predict_text(text) for text in texts]
    return [
        {
            "label": row.label,
            "probability": row.probabilities[row.label],
            "probabilities": row.probabilities,
        }
        for row in predictions
    ]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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
    assert response.json() == {"predictions": expected_rows(TEXTS)}


@pytest.mark.parametrize("texts", [[], [""], ["naïve Åge ☃ 😀\u0000"], ["x" * 2**21]], ids=len)
def test_odd_texts_are_predicted(client: TestClient, texts: list[str]) -> None:
    response = client.post("/invocations", json={"inputs": texts})
    assert response.json() == {"predictions": expected_rows(texts)}


STRING = "Input should be a valid string"
ONE_FORM = "body: exactly one of dataframe_records, dataframe_split, inputs, instances is needed"
TOO_LONG = f"List should have at most {MAX_TEXTS} items after validation, not {MAX_TEXTS + 1}"
MANY = MAX_TEXTS + 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"dataframe_records": [{"text": 5}]}, f"dataframe_records.0.text: {STRING}"),
        ({"dataframe_records": [{"review": "a"}]}, "dataframe_records.0.text: Field required"),
        ({"dataframe_records": [{"text": "a"}] * MANY}, f"dataframe_records: {TOO_LONG}"),
        ({"inputs": ["a", 5]}, f"inputs.1: {STRING}"),
        ({"inputs": [None]}, f"inputs.0: {STRING}"),
        ({"inputs": "a"}, "inputs: Input should be a valid list"),
        ({"inputs": ["a", "\ud800"]}, "body: text 1 is not valid Unicode"),
        ({"inputs": ["a"] * MANY}, f"inputs: {TOO_LONG}"),
        ({"instances": [["a"]]}, f"instances.0: {STRING}"),
        ({"inputs": ["a"], "instances": ["a"]}, ONE_FORM),
        ({}, ONE_FORM),
        (
            {"dataframe_split": {"columns": ["text"], "data": [["a"], ["a", "b"]]}},
            "dataframe_split: row 1 has 2 values, but the table has 1 columns",
        ),
        (
            {"dataframe_split": {"columns": ["text"], "data": [[5]]}},
            "dataframe_split: the text of row 0 should be a valid string",
        ),
        (
            {"dataframe_split": {"columns": ["review"], "data": [["a"]]}},
            "dataframe_split: columns should have 'text' exactly once",
        ),
        (
            {"dataframe_split": {"columns": ["text"], "data": [["a"]] * MANY}},
            f"dataframe_split.data: {TOO_LONG}",
        ),
        (5, "body: Input should be a valid dictionary or object to extract fields from"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_body_that_is_not_texts_gets_a_422_with_the_problem_and_an_example(
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


def test_body_that_is_not_declared_as_json_gets_a_422(client: TestClient) -> None:
    headers = {"Content-Type": "text/csv"}
    response = client.post("/invocations", content='{"inputs": ["a"]}', headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"].endswith("with the header Content-Type: application/json.")


@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, b'{"inputs": ["\xff\xfe"]}', f'{{"inputs": [{"1" * 5000}]}}'],
    ids=["deep", "bytes", "int"],
)
def test_body_that_cannot_be_read_gets_a_400_with_an_example(
    client: TestClient, body: str | bytes
) -> None:
    response = post(client, body)
    assert response.status_code == 400
    assert response.json() == {"detail": UNREADABLE}
    assert UNREADABLE.endswith(ADVICE)


@pytest.mark.parametrize("chunks", [1, 17])
def test_body_over_the_limit_gets_a_413(client: TestClient, model: StubModel, chunks: int) -> None:
    body: Any = b"0" * (MAX_BODY_BYTES + 1)
    if chunks > 1:  # then its length is not declared
        body = (b"0" * 2**20 for _ in range(chunks))
    response = client.post("/invocations", content=body, headers=JSON_HEADER)
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


def test_concurrent_requests_get_their_own_predictions(
    client: TestClient, model: StubModel
) -> None:
    model.seconds = 0.02
    requests = [["x" * number, "dull " + "y" * number] for number in range(32)]

    def predict(texts: list[str]) -> Any:
        return client.post("/invocations", json={"inputs": texts}).json()["predictions"]

    with ThreadPoolExecutor(len(requests)) as pool:
        assert [*pool.map(predict, requests)] == [expected_rows(texts) for texts in requests]


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_server_that_is_ready_says_ok(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_version_names_the_model_version_and_mlflow(client: TestClient) -> None:
    assert client.get("/version").json() == {"model": VERSION, "mlflow": version("mlflow")}


def test_schema_is_valid_for_exactly_one_form(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    operation = schema["paths"]["/invocations"]["post"]
    assert operation["responses"].keys() == {"200", "400", "413", "422", "500"}
    request = schema["components"]["schemas"]["PredictionRequest"]
    assert request["properties"]["inputs"]["maxItems"] == MAX_TEXTS
    assert request["properties"].keys() == {*FORMS}
    assert [one["required"] for one in request["oneOf"]] == [[form] for form in FORMS]
    assert client.get("/docs").status_code == 200


@pytest.mark.parametrize(
    ("sent", "returned"),
    [
        ({"X-Request-Id": "mine:7"}, "mine:7"),
        ({"X-Request-Id": "x" * 1000}, "x" * 500),
        ({}, "[0-9a-f]{32}"),
    ],
    ids=["sent", "long", "generated"],
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
    response = client.post("/invocations", json={"inputs": TEXTS}, headers={"X-Request-Id": "mine"})
    client.post("/invocations", json={"inputs": ["refused", 5]})
    lines = read_log(log)
    assert [line["request_id"] for line in lines] == ["mine-0", "mine-1"]
    probabilities = [row["probabilities"] for row in response.json()["predictions"]]
    assert [line["probabilities"] for line in lines] == probabilities


def test_texts_are_predicted_if_they_cannot_be_logged(
    client: TestClient, log: PredictionLog, capsys: pytest.CaptureFixture[str]
) -> None:
    log.folder.write_text("not a folder", encoding="utf-8")
    response = client.post("/invocations", json={"inputs": TEXTS})
    assert response.json() == {"predictions": expected_rows(TEXTS)}
    assert "Predictions are not logged" in capsys.readouterr().err


def test_metrics_count_requests_by_status(client: TestClient, model: StubModel) -> None:
    client.post("/invocations", json={"inputs": ["a"]})
    client.post("/invocations", json={"inputs": [5]})
    post(client, b"0" * (MAX_BODY_BYTES + 1))
    model.error = ValueError("broken")
    client.post("/invocations", json={"inputs": ["a"]})
    client.get("/health")
    metrics = read_metrics(client)
    for status in (200, 413, 422, 500):
        assert metrics[f'sentiment_requests_total{{status="{status}"}}'] == 1
    assert metrics["sentiment_request_seconds_count"] == 4


def test_metrics_count_texts_by_label_and_their_words(client: TestClient) -> None:
    texts = ["a zzza fine film", "dull", "dull b c d e f"]
    client.post("/invocations", json={"inputs": texts})
    metrics = read_metrics(client)
    assert metrics['sentiment_predictions_total{label="positive"}'] == 1
    assert metrics['sentiment_predictions_total{label="negative"}'] == 2
    assert metrics["sentiment_words_total"] == 11
    assert metrics["sentiment_unknown_words_total"] == 1
    assert metrics["sentiment_truncated_texts_total"] == 1
    assert metrics[f'sentiment_model_info{{version="{VERSION}"}}'] == 1
    assert metrics["process_resident_memory_bytes"] > 0


def test_new_version_predicts_once_it_is_found(model: StubModel, log: PredictionLog) -> None:
    is_found = threading.Event()

    def find_replacement(version: str) -> ServedModel | None:
        is_new = is_found.is_set() and version == VERSION
        return served(StubModel(), NEW_VERSION) if is_new else None

    with TestClient(create_app(served(model, VERSION), log, find_replacement, 0.01)) as client:
        client.post("/invocations", json={"inputs": ["a"]})
        is_found.set()
        wait_until(lambda: client.get("/version").json()["model"] == NEW_VERSION)
        client.post("/invocations", json={"inputs": ["b"]})
        assert read_metrics(client)[f'sentiment_model_info{{version="{NEW_VERSION}"}}'] == 1
    assert model.batches == [["a"]]
    assert [line["version"] for line in read_log(log)] == [VERSION, NEW_VERSION]


def test_request_is_predicted_and_logged_by_the_version_that_received_it(
    model: StubModel, log: PredictionLog
) -> None:
    is_busy = threading.Event()
    is_replaced = threading.Event()

    def predict_slowly(texts: Sequence[str]) -> list[Any]:
        is_busy.set()
        assert is_replaced.wait(60)
        return [StubModel.predict_text(text) for text in texts]

    def find_replacement(version: str) -> ServedModel | None:
        assert is_busy.wait(60)
        return served(StubModel(), NEW_VERSION) if version == VERSION else None

    model.predict_texts = predict_slowly  # type: ignore[method-assign]
    app = create_app(served(model, VERSION), log, find_replacement, 0.01)
    with TestClient(app) as client, ThreadPoolExecutor() as pool:
        response = pool.submit(client.post, "/invocations", json={"inputs": ["a"]})
        wait_until(lambda: client.get("/version").json()["model"] == NEW_VERSION)
        is_replaced.set()
        assert response.result().json()["predictions"] == expected_rows(["a"])
    assert [line["version"] for line in read_log(log)] == [VERSION]


def test_problem_with_another_version_is_reported_once_and_the_server_continues(
    model: StubModel, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def find_replacement(version: str) -> ServedModel | None:
        calls.append(version)
        raise UserError("The store is away.")

    with TestClient(create_app(served(model, VERSION), None, find_replacement, 0.01)) as client:
        wait_until(lambda: len(calls) > 2)
        assert client.post("/invocations", json={"inputs": ["a"]}).status_code == 200
    assert caplog.messages == [f"{VERSION} is still served. The store is away."]
