"""The application predicts texts in MLflow's forms of JSON, and refuses everything else."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, cast

import httpx2
import pytest
from starlette.testclient import TestClient

from sentiment.serve import app
from sentiment.serve.app import MAX_BODY_BYTES, create_app
from sentiment.serve.batching import Batcher
from sentiment.serve.schemas import (
    FORMS,
    MAX_EXPLAINED_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MAX_TEXTS,
    ExplanationResponse,
)
from sentiment.serve.served import ServedVersion
from tests.serve.stub_model import StubModel

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
def client(model: StubModel) -> Iterator[TestClient]:
    # The context keeps one event loop for all requests, as a server does.
    with TestClient(create_app(served(model)), raise_server_exceptions=False) as client:
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
