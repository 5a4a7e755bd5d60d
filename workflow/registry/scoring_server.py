"""Let MLflow's scoring server answer a bad request with one sentence and a 4xx, and log answers.

By itself it sends clients Python tracebacks, repeats a request of megabytes in its message, makes
texts of numbers, nulls and nested JSON, loses the beginning of a CSV text with a comma, and fails
over a request without a content type.
"""

import functools
import io
import json
import os
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR

MODULE = "mlflow.pyfunc.scoring_server"
OWN_FAULT = "Encountered an unexpected error"  # how MLflow's message of a failing model begins
FORMS = {"inputs", "instances"}  # of TensorFlow Serving
COLUMN = "text"  # as `sentiment.serving.pyfunc_model` calls it
LONGEST = 500  # characters of a message
WANTED = 'Send JSON such as {"dataframe_records": [{"text": "A fine film."}]}.'
FOLDER, VERSION, TEXTS = "SERVE_LOG", "SERVE_VERSION", "SERVE_LOG_TEXTS"  # in the environment
ID, HEADER = "request_id", "X-Request-Id"  # of a line, of a request and its answer
REQUEST = ContextVar("request", default="")  # the id of the one that is answered


def prepare(model: Any) -> Any:
    """Return a model, which answers clearly, and logs, if this process is such a server."""
    server: Any = sys.modules.get(MODULE)
    if server is not None and not hasattr(server.invocations, "__wrapped__"):
        server.invocations = clear(server.invocations)
        if FOLDER in os.environ:
            decorate = server._async_catch_mlflow_exception  # what gets a request
            server._async_catch_mlflow_exception = lambda get: identified(decorate(get))
    return model


def identified(get: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but a request has an id, its client's or a new one, which the answer names."""

    @functools.wraps(get)
    async def answer(request: Any) -> Any:
        REQUEST.set(request.headers.get(HEADER, "")[:LONGEST] or uuid.uuid4().hex)
        response = await get(request)
        response.headers[HEADER] = REQUEST.get()
        return response

    return answer


class Log:
    """Appends a line of JSON for each text that a model answers to the day's file (UTC)."""

    def __init__(self, model: Any) -> None:
        self.model, self.version, self.is_failing = model, os.environ[VERSION], False

    def __call__(self, texts: list[str], encoded: list[Any], probabilities: Any) -> None:
        """Append the lines of a request; where that fails they are lost, which is told once."""
        now, limits, texts_too = datetime.now(UTC), self.model.limits, os.environ.get(TEXTS) == "1"
        time, lines = now.isoformat(timespec="milliseconds"), ""
        for row, words in enumerate(encoded):
            line = {
                "time": time,
                "version": self.version,
                "words": words.word_count,
                "unknown": limits.count_unknown(words) / max(words.word_count, 1),
                "truncated": limits.truncates(words),
                "probability": float(probabilities[row]),
                ID: REQUEST.get() + (f"-{row}" if len(texts) > 1 else ""),
            }
            lines += json.dumps(line | ({"text": texts[row]} if texts_too else {})) + "\n"
        try:
            append(Path(os.environ[FOLDER], f"{now:%Y-%m-%d}.jsonl"), lines.encode())
            self.is_failing = False
        except OSError as error:
            if not self.is_failing:
                print(f"Answers are not logged: {error}", file=sys.stderr)
            self.is_failing = True


def append(path: Path, lines: bytes) -> None:
    """Append all of the lines to a file or none; several processes and threads may at once."""
    import fcntl  # which Windows has not: models are served there without a log

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        if file.write(lines) < len(lines):
            file.truncate(end)
            raise OSError(f"no room is left for {path}")


def clear(invocations: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but each failure is an MlflowException with a short message and no traceback."""

    @functools.wraps(invocations)
    def answer(data: bytes, content_type: str | None, *rest: Any) -> Any:
        try:
            require_texts(data, content_type or "")
            return invocations(data, content_type or "none", *rest)
        except MlflowException as error:
            raise _explained(error) from None
        except Exception as error:
            raise _bad(f"The request cannot be read ({type(error).__name__}).") from None

    return answer


def require_texts(data: bytes, content_type: str) -> None:
    """Raise MlflowException for what MLflow would make other texts of than were meant.

    That is anything but texts in `inputs` or `instances`, and a CSV's rows of more fields than its
    heading.
    """
    with suppress(ValueError):  # MLflow says of it that it cannot be read
        if content_type.startswith("text/csv"):
            table = pd.read_csv(io.BytesIO(data), dtype=str, nrows=1)
            if len(table) and not isinstance(table.index, pd.RangeIndex):  # made of first fields
                raise _bad(
                    "A row of the CSV has more fields than the heading: put texts that hold commas "
                    "in double quotes."
                )
        if content_type.startswith("application/json"):
            document = json.loads(data)
            for form in FORMS & document.keys() if isinstance(document, dict) else ():
                rows = document[form]
                if not (isinstance(rows, list) and all(isinstance(row, str) for row in rows)):
                    raise _bad(f"{form} is not a list of texts.")


def _explained(error: MlflowException) -> MlflowException:
    if error.message.startswith(OWN_FAULT):
        print(error.json_kwargs.get("stack_trace", ""), file=sys.stderr)
        return MlflowException("The model failed; the server's log says why.", INTERNAL_ERROR)
    reason = error.message.rpartition("\nError: ")[2]  # the complete request comes before it
    return _bad(reason)


def _bad(reason: str) -> MlflowException:
    first = reason.partition("\nInput: ")[0]  # the complete request comes after it
    shown = first if len(first) <= LONGEST else f"{first[:LONGEST]}…"
    return MlflowException(f"{shown} {WANTED}", BAD_REQUEST)
