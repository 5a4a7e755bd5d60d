"""The application that predicts texts over HTTP, and a function that serves it."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from extras.common.prediction_log import PredictionLog
from extras.serve.batching import PredictionError
from extras.serve.champion import FindReplacement, ServedModel
from extras.serve.metrics import ServerMetrics
from extras.serve.schemas import (
    ADVICE,
    ErrorResponse,
    PredictionRequest,
    PredictionResponse,
    StatusResponse,
    TextPrediction,
    VersionResponse,
)
from sentiment.errors import first_line
from workflow.loopback import LOOPBACK

INVOCATIONS = "/invocations"
MAX_BODY_BYTES = 16 * 2**20
REQUEST_ID_HEADER = "X-Request-Id"
MAX_REQUEST_ID_LENGTH = 500
CHAMPION_CHECK_SECONDS = 20.0
SHUTDOWN_SECONDS = 4  # requests may take this long to finish after a signal
UNREADABLE = (
    "The body cannot be read: it is not UTF-8, is nested too deeply, or has a number of thousands "
    f"of digits. {ADVICE}"
)
MODEL_FAILED = "The model failed. The server's terminal shows the traceback."
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body cannot be read"},
    413: {"description": "The body is larger than 16 MiB"},
    422: {"model": ErrorResponse, "description": "The body is not texts in one of the forms"},
    500: {"model": ErrorResponse, "description": "The model failed"},
}
router = APIRouter()
logger = logging.getLogger(__name__)


@dataclass
class Service:
    """What an application's requests share.

    Attributes:
        served: the version that predicts new requests. Earlier requests keep theirs.
        log: where predictions are logged, if at all.
        metrics: counters of the application.
    """

    served: ServedModel
    log: PredictionLog | None
    metrics: ServerMetrics


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


@router.post(INVOCATIONS, responses=ERRORS)
async def predict(body: PredictionRequest, request: Request) -> PredictionResponse:
    service: Service = request.app.state.service
    served = service.served  # another version may replace it while it predicts
    texts = body.texts
    try:
        predictions = await served.batcher.predict(texts)
    except PredictionError:
        raise HTTPException(500, MODEL_FAILED) from None
    service.metrics.count_predictions(predictions)
    if service.log is not None:
        service.log.append(served.version, request.state.request_id, texts, predictions)
    return PredictionResponse(
        predictions=[
            TextPrediction(
                label=prediction.label,
                probability=prediction.probability,
                probabilities=prediction.probabilities,
            )
            for prediction in predictions
        ]
    )


@router.get("/health")
@router.get("/ping")  # what clients of MLflow request
async def get_health() -> StatusResponse:
    return StatusResponse(status="ok")


@router.get("/version")
async def get_version(request: Request) -> VersionResponse:
    service: Service = request.app.state.service
    return VersionResponse(model=service.served.version, mlflow=installed_version("mlflow"))


@router.get("/metrics", response_class=Response)
async def get_metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    return Response(service.metrics.to_text(), media_type=CONTENT_TYPE_LATEST)


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


async def respond_to_unreadable_body(_: Request, __: Exception) -> JSONResponse:
    """Say what may be wrong with a body that cannot be read, and what to send."""
    return JSONResponse({"detail": UNREADABLE}, status_code=400)


async def follow_champion(
    service: Service, find_replacement: FindReplacement, check_seconds: float
) -> None:
    """Replace the version whenever another one takes its place. Report a problem once."""
    reported = ""
    while True:
        await asyncio.sleep(check_seconds)
        problem = ""
        try:
            served = await asyncio.to_thread(find_replacement, service.served.version)
        except Exception as error:  # whatever happens, the present version can predict
            served = None
            problem = first_line(error) or type(error).__name__
        if problem not in ("", reported):
            logger.warning("%s is still served. %s", service.served.version, problem)
        reported = problem
        if served is not None:
            service.served = served
            service.metrics.set_version(served.version)
            print(f"Serving {served.version} from now on", flush=True)


def create_app(
    served: ServedModel,
    log: PredictionLog | None = None,
    find_replacement: FindReplacement | None = None,
    check_seconds: float = CHAMPION_CHECK_SECONDS,
) -> FastAPI:
    """Create the application.

    Args:
        served: the version that predicts at first.
        log: where to log predictions, if at all.
        find_replacement: see `follow_champion`. Without it, the first version is kept.
        check_seconds: time between two calls of `find_replacement`.
    """
    service = Service(served, log, ServerMetrics(served.version))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if find_replacement is None:
            yield
            return
        task = asyncio.create_task(follow_champion(service, find_replacement, check_seconds))
        yield
        task.cancel()

    app = FastAPI(
        title="Sentiment of texts",
        description="Predicts whether texts are positive or negative.",
        lifespan=lifespan,
        max_body_size=MAX_BODY_BYTES,
        exception_handlers={
            RequestValidationError: respond_to_invalid_request,
            400: respond_to_unreadable_body,  # which FastAPI raises for the body alone
        },
    )
    app.state.service = service
    app.add_middleware(RequestMiddleware, metrics=service.metrics)
    app.include_router(router)
    return app


def serve(app: FastAPI, port: int) -> None:
    """Serve the application until a signal comes, then finish the requests that are running."""
    uvicorn.run(
        app,
        host=LOOPBACK,
        port=port,
        ws="none",  # otherwise a request for a web socket would never get a response
        log_level="error",  # no line for each odd request
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
