"""The application: it predicts texts over HTTP, and has a page that explains predictions."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentiment.serve import counters
from sentiment.serve.follow import ServedVersion, follow_champion
from sentiment.serve.log import PredictionLog
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

INVOCATIONS = "/invocations"
MAX_BODY_BYTES = 16 * 2**20
REQUEST_ID_HEADER = "X-Request-Id"
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body cannot be read"},
    413: {"description": "The body is larger than 16 MiB"},
    422: {"model": ErrorResponse, "description": "The body does not have the form of a request"},
    500: {"model": ErrorResponse, "description": "The model failed"},
}
router = APIRouter()


class RequestMiddleware:
    """Middleware that gives each request and its response an id, and counts `/invocations`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        request_id = Headers(scope=scope).get(REQUEST_ID_HEADER) or uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500  # unless a response is sent

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            if scope["path"] == INVOCATIONS:
                counters.REQUESTS.labels(str(status)).inc()
                counters.SECONDS_HISTOGRAM.observe(time.perf_counter() - start)


@router.post(INVOCATIONS, responses=ERRORS)
async def predict(body: PredictionRequest, request: Request) -> PredictionResponse:
    """Predict the label of each text."""
    served: ServedVersion = request.app.state.served  # another one may replace it meanwhile
    log: PredictionLog | None = request.app.state.log
    texts = body.texts
    predictions = await served.batcher.predict(texts)
    counters.count_predictions(predictions)
    if log is not None:
        log.append(served.uri, request.state.request_id, texts, predictions)
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


@router.get("/metrics", response_class=Response)
async def get_metrics() -> Response:
    """Return the metrics in Prometheus' format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


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


def create_app(
    served: ServedVersion,
    log: PredictionLog | None = None,
    find_replacement: Callable[[str], ServedVersion | None] | None = None,
) -> FastAPI:
    """Create the application.

    Args:
        served: the version that predicts at first.
        log: where to log predictions, if at all.
        find_replacement: see `follow_champion`. Without it, the first version is kept.
    """

    def serve(version: ServedVersion) -> None:
        app.state.served = version
        counters.MODEL.info({"version": version.uri})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if find_replacement is None:
            yield
            return
        following = asyncio.create_task(follow_champion(served.uri, find_replacement, serve))
        yield
        following.cancel()

    app = FastAPI(
        title="Labels of texts",
        description="Predicts the label of each text, and explains predictions.",
        lifespan=lifespan,
        docs_url=None,  # these pages load their scripts from the Internet
        redoc_url=None,
        max_body_size=MAX_BODY_BYTES,
        exception_handlers={
            RequestValidationError: respond_to_invalid_request,
            Exception: respond_to_failure,
        },
    )
    app.state.log = log
    serve(served)
    app.add_middleware(RequestMiddleware)
    app.include_router(router)
    return app
