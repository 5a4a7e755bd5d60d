"""The application: it predicts texts over HTTP, and has a page that explains predictions."""

import asyncio
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse

from sentiment.serve.batching import Batcher
from sentiment.serve.pieces import describe_explanation
from sentiment.serve.schemas import (
    MAX_EXPLAINED_CHARACTERS,
    ErrorResponse,
    ExplanationRequest,
    ExplanationResponse,
    PredictionRequest,
    PredictionResponse,
    TextPrediction,
)

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel

PAGE = Path(__file__).with_name("page.html")
LIMIT = "MAX_EXPLAINED_CHARACTERS"  # the page has this instead of the number
# The page loads nothing from elsewhere, and sends texts to this server alone.
PAGE_POLICY = (
    "default-src 'self' 'unsafe-inline' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
MAX_BODY_BYTES = 16 * 2**20
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body cannot be read"},
    413: {"description": "The body is larger than 16 MiB"},
    422: {"model": ErrorResponse, "description": "The body does not have the form of a request"},
    500: {"model": ErrorResponse, "description": "The model failed"},
}
router = APIRouter()


class Served(NamedTuple):
    """The model that predicts.

    Attributes:
        uri: the URI of its version.
        batcher: predicts texts by the model.
        explaining: held while the model explains a prediction. Eight explanations at once would
            let a prediction wait for seconds.
    """

    uri: str
    model: "SentimentModel"
    batcher: Batcher
    explaining: asyncio.Lock


@router.post("/invocations", responses=ERRORS)
async def predict(body: PredictionRequest, request: Request) -> PredictionResponse:
    """Predict the label of each text."""
    served: Served = request.app.state.served
    predictions = await served.batcher.predict(body.texts)
    return PredictionResponse(
        version=served.uri,
        predictions=[
            TextPrediction(
                label=prediction.label,
                probability=prediction.probability,
                probabilities=prediction.probabilities,
            )
            for prediction in predictions
        ],
    )


@router.post("/explain", responses=ERRORS)
async def explain(body: ExplanationRequest, request: Request) -> ExplanationResponse:
    """Say what each word of a text contributes to the predicted label, or to another one."""
    served: Served = request.app.state.served
    label_names = served.model.label_names
    if body.label is not None and body.label not in label_names:
        detail = f"label: the model has no such label. Send one of: {', '.join(label_names)}."
        raise HTTPException(422, detail)
    async with served.explaining:
        explanation = await asyncio.to_thread(served.model.explain, body.text, body.label)
    return describe_explanation(served.uri, body.text, explanation)


@router.get("/health")
@router.get("/ping")  # what clients of MLflow request
async def get_health() -> dict[str, str]:
    """Say that the server is ready."""
    return {"status": "ok"}


@router.get("/version")
async def get_version(request: Request) -> dict[str, str]:
    """Name the version that predicts, and the version of MLflow."""
    return {"model": request.app.state.served.uri, "mlflow": installed_version("mlflow")}


@router.get("/", include_in_schema=False)
async def get_page() -> HTMLResponse:
    page = PAGE.read_text(encoding="utf-8").replace(LIMIT, str(MAX_EXPLAINED_CHARACTERS))
    return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


async def respond_to_invalid_request(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong with a request, without repeating its content."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    location = ".".join(str(part) for part in first["loc"][1:]) or "body"
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        problem = f"{problem}, {first['ctx']['error']}"
        location = f"body, character {location}"
    advice = (
        "Send JSON with the header Content-Type: application/json. /openapi.json shows its form."
    )
    return JSONResponse({"detail": f"{location}: {problem}. {advice}"}, status_code=422)


async def respond_to_failure(_: Request, __: Exception) -> JSONResponse:
    detail = "The model failed. The server's terminal shows the traceback."
    return JSONResponse({"detail": detail}, status_code=500)


def create_app(uri: str, model: "SentimentModel") -> FastAPI:
    """Create the application, in which the model of a version predicts."""
    app = FastAPI(
        title="Labels of texts",
        description="Predicts the label of each text, and explains predictions.",
        docs_url=None,  # these pages load their scripts from the Internet
        redoc_url=None,
        max_body_size=MAX_BODY_BYTES,
        exception_handlers={
            RequestValidationError: respond_to_invalid_request,
            Exception: respond_to_failure,
        },
    )
    app.state.served = Served(uri, model, Batcher(model.predict_texts), asyncio.Lock())
    app.include_router(router)
    return app
