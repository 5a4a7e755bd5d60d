"""The application predicts texts in MLflow's forms of JSON, and refuses everything else."""

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, cast

import httpx2
import pytest
from starlette.testclient import TestClient

from sentiment.serve.app import MAX_BODY_BYTES, create_app
from sentiment.serve.schemas import (
    FORMS,
    MAX_EXPLAINED_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MAX_TEXTS,
)
from tests.serve.stub_model import StubModel
from tests.small_project import wait_until

VERSION = "models:/stub/3"
TEXTS = ["A fine film.", "dull"]
ADVICE = "Send JSON with the header Content-Type: application/json. /openapi.json shows its form."
BODIES = [
    {"dataframe_records": [{"text": TEXTS[0]}, {"text": TEXTS[1], "stars": 1}]},
    {"dataframe_split": {"index": [0, 1], "columns": ["text"], "data": [[TEXTS[0]], [TEXTS[1]]]}},
    {"inputs": TEXTS, "params": {"a": 1}, "other": None},
]


@pytest.fixture
def model() -> StubModel:
    return StubModel()


@pytest.fixture
def client(model: StubModel) -> Iterator[TestClient]:
    # The context keeps one event loop for all requests, as a server does.
    app = create_app(VERSION, cast(Any, model))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, body: str | bytes, path: str = "/invocations") -> httpx2.Response:
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


def expected_response(texts: Sequence[str]) -> dict[str, Any]:
    predictions = [StubModel.predict_text(text) for text in texts]
    rows = [
        {
            "label": row.label,
            "probability": row.probabilities[row.label],
            "probabilities": row.probabilities,
        }
        for row in predictions
    ]
    return {"version": VERSION, "predictions": rows}


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
    client: TestClient, model: StubModel
) -> None:
    with ThreadPoolExecutor() as pool:
        explained = pool.submit(client.post, "/explain", json={"text": "a"})
        wait_until(lambda: model.is_explaining)
        assert client.post("/invocations", json={"inputs": ["a"]}).status_code == 200
        model.may_explain.set()
        assert explained.result().status_code == 200


@pytest.mark.parametrize(
    ("chosen", "label"), [({}, "positive"), ({"label": "negative"}, "negative")]
)
def test_predicted_label_is_explained_unless_another_one_is_chosen(
    client: TestClient, model: StubModel, chosen: dict[str, str], label: str
) -> None:
    model.may_explain.set()
    explained = client.post("/explain", json={"text": "abc", **chosen}).json()
    assert explained == {
        "version": VERSION,
        "label": label,
        "probability": explained["probabilities"][label],
        "probabilities": {"negative": 0.75, "positive": 0.25},
        "pieces": [{"text": "abc", "log_odds": None}],
    }


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"text": "a" * (MAX_EXPLAINED_CHARACTERS + 1)}, "text: String should have at most"),
        ({"text": "\ud800"}, "text: "),
        ({"text": "a", "label": "\ud800"}, "label: "),
        ({"text": "a", "label": "c"}, "label: the model has no such label. Send one of: neg"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_explained_gets_a_422(
    client: TestClient, body: dict[str, str], problem: str
) -> None:
    response = post(client, json.dumps(body), "/explain")
    assert response.status_code == 422
    assert response.json()["detail"].startswith(problem)


def test_page_has_the_limit_of_the_texts_that_it_explains(client: TestClient) -> None:
    assert f'data-limit="{MAX_EXPLAINED_CHARACTERS}"' in client.get("/").text
