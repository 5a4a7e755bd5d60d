"""Tests of `workflow.serving.app`, without a network: requests go straight to the application."""

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
from pydantic import ValidationError
from starlette.testclient import TestClient

from tests.workflow.serving.stub_model import StubModel
from workflow.serving.app import MAX_BODY_BYTES, create_app
from workflow.serving.current_model import ServedModel
from workflow.serving.prediction_log import PredictionLog
from workflow.serving.schemas import ADVICE, MAX_TEXTS, PredictionRequest

VERSION = "models:/stub/3"
TEXTS = ["A fine film.", "dull"]
JSON_HEADER = {"Content-Type": "application/json"}
FORMS = [
    {"dataframe_records": [{"text": "A fine film."}, {"text": "dull", "stars": 1}]},
    {"dataframe_split": {"columns": ["stars", "text"], "data": [[5, TEXTS[0]], [1, TEXTS[1]]]}},
    {"inputs": TEXTS},
    {"instances": TEXTS},
]


@pytest.fixture
def model() -> StubModel:
    return StubModel()


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log", VERSION, with_texts=False)


@pytest.fixture
def client(model: StubModel, log: PredictionLog) -> Iterator[TestClient]:
    # The context keeps one event loop for all requests, as a server does.
    with TestClient(create_app(served(model, VERSION, log))) as client:
        yield client


def served(model: StubModel, version: str, log: PredictionLog | None = None) -> ServedModel:
    return ServedModel(cast(Any, model), version, log)


def post(client: TestClient, body: str | bytes) -> httpx2.Response:
    return client.post("/invocations", content=body, headers=JSON_HEADER)


def expected_rows(texts: list[str]) -> list[dict[str, Any]]:
    predictions = [StubModel.predict_text(text) for text in texts]
    return [{"label": row.label, "probability": float(row.probability)} for row in predictions]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_metrics(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


@pytest.mark.parametrize("body", FORMS, ids=lambda body: next(iter(body)))
def test_each_form_of_mlflow_is_predicted(client: TestClient, body: dict[str, Any]) -> None:
    response = client.post("/invocations", json=body)
    assert response.status_code == 200
    assert response.json() == {"predictions": expected_rows(TEXTS)}


def test_other_keys_are_ignored(client: TestClient) -> None:
    body = {"inputs": TEXTS, "params": {"a": 1}, "other": None}
    assert client.post("/invocations", json=body).json()["predictions"] == expected_rows(TEXTS)


@pytest.mark.parametrize("form", ["dataframe_records", "inputs", "instances"])
def test_request_without_texts_gets_no_predictions(client: TestClient, form: str) -> None:
    response = client.post("/invocations", json={form: []})
    assert response.json() == {"predictions": []}


@pytest.mark.parametrize("text", ["", "?!", "naïve Åge ☃ 😀", "\u0000", "x" * 2**21])
def test_odd_text_is_predicted(client: TestClient, text: str) -> None:
    response = client.post("/invocations", json={"inputs": [text]})
    assert response.json()["predictions"] == expected_rows([text])


STRING = "Input should be a valid string"
ONE_FORM = "body: exactly one of dataframe_records, dataframe_split, inputs, instances is needed"
TOO_LONG = f"List should have at most {MAX_TEXTS} items after validation"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"dataframe_records": [{"text": 5}]}, f"dataframe_records.0.text: {STRING}"),
        ({"dataframe_records": [{"review": "a"}]}, "dataframe_records.0.text: Field required"),
        ({"inputs": ["a", 5]}, f"inputs.1: {STRING}"),
        ({"inputs": "a"}, "inputs: Input should be a valid list"),
        ({"inputs": ["a", "\ud800"]}, "body: text 1 is not valid Unicode"),
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
        ({"dataframe_split": {"data": [["a"]]}}, "dataframe_split.columns: Field required"),
        ({"inputs": ["a"] * (MAX_TEXTS + 1)}, f"inputs: {TOO_LONG}, not {MAX_TEXTS + 1}"),
        (
            {"dataframe_records": [{"text": "a"}] * (MAX_TEXTS + 1)},
            f"dataframe_records: {TOO_LONG}, not {MAX_TEXTS + 1}",
        ),
        (
            {"dataframe_split": {"columns": ["text"], "data": [["a"]] * (MAX_TEXTS + 1)}},
            f"dataframe_split.data: {TOO_LONG}, not {MAX_TEXTS + 1}",
        ),
        (5, "body: Input should be a valid dictionary or object to extract fields from"),
    ],
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
        {"dataframe_records": [5] * 9},
        {"dataframe_split": {"columns": [5] * 9, "data": []}},
        {"dataframe_split": {"columns": ["text"], "data": [5] * 9}},
        {"inputs": [5] * 9},
        {"instances": [5] * 9},
    ],
)
def test_validation_stops_at_the_first_wrong_item_of_a_list(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        PredictionRequest.model_validate(body)
    assert raised.value.error_count() == 1


def test_millions_of_wrong_items_are_refused_by_one_short_message(client: TestClient) -> None:
    response = post(client, f'{{"inputs": [{",".join(["5"] * 1_000_000)}]}}')
    assert response.status_code == 422
    assert len(response.content) < 500


@pytest.mark.parametrize("body", ["x" * 2**20, "", '{"inputs": ["a"', "{\"inputs\": ['a']}"])
def test_body_that_is_not_json_gets_a_422_and_is_not_repeated(
    client: TestClient, body: str
) -> None:
    response = post(client, body)
    assert response.status_code == 422
    assert response.json()["detail"].endswith(ADVICE)
    assert len(response.content) < 500


def test_location_of_a_mistake_in_json_is_named(client: TestClient) -> None:
    detail = post(client, '{"inputs": ["a"').json()["detail"]
    assert detail.startswith("body, character 15: JSON decode error, Expecting ',' delimiter. ")


@pytest.mark.parametrize("content_type", ["text/csv", "text/plain", None])
def test_body_that_is_not_declared_as_json_gets_a_422(
    client: TestClient, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = client.post("/invocations", content='{"inputs": ["a"]}', headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"].endswith("with the header Content-Type: application/json.")


@pytest.mark.parametrize(
    "body", ["[" * 100_000, b'{"inputs": ["\xff\xfe"]}', "1" * 5000], ids=["deep", "bytes", "int"]
)
def test_body_that_cannot_be_read_gets_a_400(client: TestClient, body: str | bytes) -> None:
    response = post(client, body)
    assert response.status_code == 400
    assert response.json() == {"detail": "There was an error parsing the body"}


def test_body_over_the_limit_gets_a_413(client: TestClient, model: StubModel) -> None:
    response = post(client, b"0" * (MAX_BODY_BYTES + 1))
    assert response.status_code == 413
    assert "Content Too Large" in response.text
    assert model.batches == []


def test_body_over_the_limit_that_comes_in_chunks_gets_a_413(client: TestClient) -> None:
    chunks = (b"0" * 2**20 for _ in range(17))
    response = client.post("/invocations", content=chunks, headers=JSON_HEADER)
    assert response.status_code == 413
    assert "Content Too Large" in response.text


def test_failing_model_gets_a_500_without_a_traceback(client: TestClient, model: StubModel) -> None:
    model.error = ValueError("secret")
    response = client.post("/invocations", json={"inputs": ["a"]})
    assert response.status_code == 500
    detail = "The model failed. The server's terminal shows the traceback."
    assert response.json() == {"detail": detail}


def test_server_predicts_again_after_the_model_failed(client: TestClient, model: StubModel) -> None:
    model.error = ValueError("broken")
    client.post("/invocations", json={"inputs": ["a"]})
    model.error = None
    assert client.post("/invocations", json={"inputs": ["a"]}).status_code == 200


def test_concurrent_requests_share_batches_and_get_their_own_predictions(
    client: TestClient, model: StubModel
) -> None:
    model.seconds = 0.02
    requests = [["x" * number, "dull " + "y" * number] for number in range(32)]

    def predict(texts: list[str]) -> Any:
        return client.post("/invocations", json={"inputs": texts}).json()["predictions"]

    with ThreadPoolExecutor(len(requests)) as pool:
        assert [*pool.map(predict, requests)] == [expected_rows(texts) for texts in requests]
    assert len(model.batches) < len(requests)


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_server_that_is_ready_says_ok(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_version_names_the_model_version_and_mlflow(client: TestClient) -> None:
    assert client.get("/version").json() == {"model": VERSION, "mlflow": version("mlflow")}


def test_response_has_the_id_of_the_request(client: TestClient) -> None:
    response = client.post(
        "/invocations", json={"inputs": ["a"]}, headers={"X-Request-Id": "mine:7"}
    )
    assert response.headers["X-Request-Id"] == "mine:7"


def test_request_without_an_id_gets_a_new_one(client: TestClient) -> None:
    responses = [client.post("/invocations", json={"inputs": ["a"]}) for _ in range(2)]
    first, second = (response.headers["X-Request-Id"] for response in responses)
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_long_id_is_truncated(client: TestClient) -> None:
    response = client.get("/health", headers={"X-Request-Id": "x" * 1000})
    assert response.headers["X-Request-Id"] == "x" * 500


def test_refused_request_has_an_id_too(client: TestClient) -> None:
    response = client.post("/invocations", json={}, headers={"X-Request-Id": "mine"})
    assert response.headers["X-Request-Id"] == "mine"


def read_log(log: PredictionLog) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(log.folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def test_each_text_is_logged_with_the_id_of_the_request(
    client: TestClient, log: PredictionLog
) -> None:
    response = client.post("/invocations", json={"inputs": TEXTS}, headers={"X-Request-Id": "mine"})
    lines = read_log(log)
    assert [line["request_id"] for line in lines] == ["mine-0", "mine-1"]
    probabilities = [row["probability"] for row in response.json()["predictions"]]
    assert [line["probability"] for line in lines] == probabilities


def test_refused_request_is_not_logged(client: TestClient, log: PredictionLog) -> None:
    client.post("/invocations", json={"inputs": ["a", 5]})
    assert read_log(log) == []


def test_texts_are_predicted_if_they_cannot_be_logged(
    client: TestClient, log: PredictionLog, capsys: pytest.CaptureFixture[str]
) -> None:
    log.folder.write_text("not a folder", encoding="utf-8")
    response = client.post("/invocations", json={"inputs": TEXTS})
    assert response.json() == {"predictions": expected_rows(TEXTS)}
    assert "Predictions are not logged" in capsys.readouterr().err


def test_server_without_a_log_predicts(model: StubModel, tmp_path: Path) -> None:
    with TestClient(create_app(served(model, VERSION))) as client:
        assert client.post("/invocations", json={"inputs": ["a"]}).status_code == 200
    assert [*tmp_path.iterdir()] == []


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


def test_metrics_name_the_model_version_and_describe_the_process(client: TestClient) -> None:
    metrics = read_metrics(client)
    assert metrics[f'sentiment_model_info{{version="{VERSION}"}}'] == 1
    assert metrics["process_resident_memory_bytes"] > 0


def test_applications_of_one_process_have_their_own_metrics(
    client: TestClient, model: StubModel
) -> None:
    client.post("/invocations", json={"inputs": ["a"]})
    with TestClient(create_app(served(model, VERSION))) as other:
        assert read_metrics(other)["sentiment_words_total"] == 0


def test_new_version_predicts_once_it_is_found_and_logs_under_its_own_name(
    model: StubModel, tmp_path: Path
) -> None:
    old_log = PredictionLog(tmp_path, VERSION, with_texts=False)
    new_log = PredictionLog(tmp_path, "models:/stub/4", with_texts=False)
    new = served(StubModel(), "models:/stub/4", new_log)
    requested: list[str] = []
    is_found = threading.Event()

    def find_replacement(version: str) -> ServedModel | None:
        requested.append(version)
        return new if is_found.is_set() and version == VERSION else None

    app = create_app(served(model, VERSION, old_log), find_replacement, 0.01)
    with TestClient(app) as client:
        client.post("/invocations", json={"inputs": ["a"]})
        is_found.set()
        wait_until(lambda: "models:/stub/4" in requested)
        assert client.get("/version").json()["model"] == "models:/stub/4"
        client.post("/invocations", json={"inputs": ["b"]})
        assert read_metrics(client)['sentiment_model_info{version="models:/stub/4"}'] == 1
    assert model.batches == [["a"]]
    assert [line["version"] for line in read_log(new_log)] == [VERSION, "models:/stub/4"]


def test_request_gets_the_prediction_of_the_version_that_received_it(model: StubModel) -> None:
    new = served(StubModel(), "models:/stub/4")
    is_busy = threading.Event()
    is_replaced = threading.Event()

    def predict_slowly(texts: Sequence[str]) -> list[Any]:
        is_busy.set()
        assert is_replaced.wait(10)
        return [StubModel.predict_text(text) for text in texts]

    def find_replacement(version: str) -> ServedModel | None:
        assert is_busy.wait(10)
        return new if version == VERSION else None

    model.predict_texts = predict_slowly  # type: ignore[method-assign]
    with (
        TestClient(create_app(served(model, VERSION), find_replacement, 0.01)) as client,
        ThreadPoolExecutor() as pool,
    ):
        response = pool.submit(client.post, "/invocations", json={"inputs": ["a"]})
        wait_until(lambda: client.get("/version").json()["model"] == "models:/stub/4")
        is_replaced.set()
        assert response.result().json()["predictions"] == expected_rows(["a"])


def test_server_continues_if_looking_for_another_version_fails(
    model: StubModel, caplog: pytest.LogCaptureFixture
) -> None:
    def find_replacement(_: str) -> ServedModel | None:
        raise RuntimeError("broken")

    with TestClient(create_app(served(model, VERSION), find_replacement, 0.01)) as client:
        wait_until(lambda: caplog.text.count("RuntimeError: broken") > 1)
        assert client.post("/invocations", json={"inputs": ["a"]}).status_code == 200


def test_schema_describes_requests_and_errors(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    operation = schema["paths"]["/invocations"]["post"]
    assert operation["responses"].keys() == {"200", "400", "413", "422", "500"}
    properties = schema["components"]["schemas"]["PredictionRequest"]["properties"]
    assert properties["inputs"]["maxItems"] == MAX_TEXTS
    assert client.get("/docs").status_code == 200
