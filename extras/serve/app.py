"""The application that predicts the sentiment of texts over HTTP, and a function that serves it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as installed_version
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workflow.serving.batching import PredictionError
from workflow.serving.current_model import CurrentModel, FindReplacement, ServedModel
from workflow.serving.metrics import ServerMetrics
from workflow.serving.schemas import (
    ADVICE,
    ErrorResponse,
    PredictionRequest,
    PredictionResponse,
    StatusResponse,
    TextPrediction,
    VersionResponse,
)

INVOCATIONS = "/invocations"
MAX_BODY_BYTES = 16 * 2**20
REQUEST_ID_HEADER = "X-Request-Id"
MAX_REQUEST_ID_LENGTH = 500
REPLACEMENT_CHECK_SECONDS = 20.0  # how often to look for another version
SHUTDOWN_SECONDS = 4  # requests may take this long to finish after a signal
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body cannot be read"},
    413: {"description": "The body is larger than 16 MiB"},
    422: {"model": ErrorResponse, "description": "The body is not texts in one of the forms"},
    500: {"model": ErrorResponse, "description": "The model failed"},
}


class RequestMiddleware:
    """Middleware that gives each request and its response an id, and counts `/invocations`."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        sent_id = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = sent_id[:MAX_REQUEST_ID_LENGTH] or uuid.uuid4().hex
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
                self.metrics.count_request(status, time.perf_counter() - start)


def create_app(
    served: ServedModel,
    find_replacement: FindReplacement | None = None,
    check_seconds: float = REPLACEMENT_CHECK_SECONDS,
) -> FastAPI:
    """Create the application.

    Args:
        served: the model version that predicts at first.
        find_replacement: takes the URI of the current version, and returns the version to switch
            to, or None. Without this function, the first version is kept.
        check_seconds: how often to look for another version.
    """
    current = CurrentModel(served)
    metrics = ServerMetrics(served.version)

    def announce(version: str) -> None:
        metrics.set_version(version)
        print(f"Serving {version} from now on", flush=True)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if find_replacement is None:
            yield
            return
        task = asyncio.create_task(current.follow(find_replacement, check_seconds, announce))
        yield
        task.cancel()

    app = FastAPI(
        title="Sentiment of texts",
        description="Predicts whether texts are positive or negative.",
        lifespan=lifespan,
        max_body_size=MAX_BODY_BYTES,
        exception_handlers={RequestValidationError: respond_to_invalid_request},
    )
    app.add_middleware(RequestMiddleware, metrics=metrics)

    @app.post(INVOCATIONS, responses=ERRORS)
    async def predict(body: PredictionRequest, request: Request) -> PredictionResponse:
        texts = body.texts
        log = current.served.log  # the version may be replaced while it predicts
        try:
            predictions = await current.batcher.predict(texts)
        except PredictionError:
            detail = "The model failed. The server's terminal shows the traceback."
            raise HTTPException(500, detail) from None
        metrics.count_predictions(predictions)
        if log is not None:
            log.append(request.state.request_id, texts, predictions)
        return PredictionResponse(
            predictions=[
                TextPrediction(label=prediction.label, probability=float(prediction.probability))
                for prediction in predictions
            ]
        )

    @app.get("/health")
    @app.get("/ping")  # what clients of MLflow request
    async def get_health() -> StatusResponse:
        return StatusResponse(status="ok")

    @app.get("/version")
    async def get_version() -> VersionResponse:
        return VersionResponse(model=current.served.version, mlflow=installed_version("mlflow"))

    @app.get("/metrics", response_class=Response)
    async def get_metrics() -> Response:
        return Response(metrics.to_text(), media_type=CONTENT_TYPE_LATEST)

    return app


async def respond_to_invalid_request(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong with a request and what to send, without repeating its content."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    location = ".".join(str(part) for part in first["loc"][1:]) or "body"
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        problem = f"{problem}, {first['ctx']['error']}"
        location = f"body, character {location}"
    return JSONResponse({"detail": f"{location}: {problem}. {ADVICE}"}, status_code=422)


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve the application until a signal comes, then finish the requests that are running."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
