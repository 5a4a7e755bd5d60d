"""The application: it predicts texts over HTTP, and has a page that explains predictions."""

import asyncio
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse

from sentiment.serve.page import content_security_policy, read_page
from sentiment.serve.pieces import explain_text
from sentiment.serve.schemas import (
    ErrorResponse,
    ExplanationRequest,
    ExplanationResponse,
    PredictionRequest,
    PredictionResponse,
    TextPrediction,
)
from sentiment.serve.served import ServedVersion

INVOCATIONS = "/invocations"
MAX_BODY_BYTES = 16 * 2**20
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body cannot be read"},
    413: {"description": "The body is larger than 16 MiB"},
    422: {"model": ErrorResponse, "description": "The body does not have the form of a request"},
    500: {"model": ErrorResponse, "description": "The model failed"},
}
router = APIRouter()


@router.post(INVOCATIONS, responses=ERRORS)
async def predict(body: PredictionRequest, request: Request) -> PredictionResponse:
    """Predict the label of each text."""
    served: ServedVersion = request.app.state.served
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
    """Predict the label of a text, and say what each word contributes to the prediction."""
    served: ServedVersion = request.app.state.served
    async with served.explaining:
        return await asyncio.to_thread(explain_text, served.uri, served.model, body.text)


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
    page = read_page()
    return HTMLResponse(page, headers={"Content-Security-Policy": content_security_policy(page)})


async def respond_to_invalid_request(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong with a request, without repeating its content."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    location = ".".join(str(part) for part in first["loc"][1:]) or "body"
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        problem = f"{problem}, {first['ctx']['error']}"
        location = f"body, character {location}"
    advice = "Send JSON with the header Content-Type: application/json. /openapi.json has its form."
    return JSONResponse({"detail": f"{location}: {problem}. {advice}"}, status_code=422)


async def respond_to_failure(_: Request, __: Exception) -> JSONResponse:
    detail = "The model failed. The server's terminal shows the traceback."
    return JSONResponse({"detail": detail}, status_code=500)


def create_app(served: ServedVersion) -> FastAPI:
    """Create the application, in which a version predicts."""
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
    app.state.served = served
    app.include_router(router)
    return app
