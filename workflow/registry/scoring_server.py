"""Let MLflow's scoring server answer a bad request with one sentence and a 4xx.

By itself it sends clients Python tracebacks, repeats a request of megabytes in its message, makes
texts of numbers, nulls and nested JSON, loses the beginning of a CSV text with a comma, and fails
over a request without a content type.
"""

import functools
import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR

MODULE = "mlflow.pyfunc.scoring_server"
OWN_FAULT = "Encountered an unexpected error"  # how MLflow's message of a failing model begins
FORMS = {"inputs", "instances"}  # of TensorFlow Serving
COLUMN = "text"  # as `sentiment.serving.classifier` calls it
SHIFTED = "more fields than the heading: put texts that hold commas in double quotes."
LONGEST = 500  # characters of a message
WANTED = 'Send JSON such as {"dataframe_records": [{"text": "A fine film."}]}.'


def answer_clearly() -> None:
    """Put `clear` around the function that answers requests, if this process is such a server."""
    server: Any = sys.modules.get(MODULE)
    if server is not None and not hasattr(server.invocations, "__wrapped__"):
        server.invocations = clear(server.invocations)


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
    """Refuse what MLflow would make other texts of than were meant.

    Raises:
        MlflowException: `inputs` or `instances` hold anything but texts, or a CSV's rows more
            fields than its heading.
    """
    with suppress(ValueError):  # MLflow says of it that it cannot be read
        csv = content_type.startswith("text/csv")
        if csv and is_shifted(pd.read_csv(io.BytesIO(data), dtype=str, nrows=1)):
            raise _bad(f"A row of the CSV has {SHIFTED}")
        if content_type.startswith("application/json"):
            document = json.loads(data)
            forms = FORMS & document.keys() if isinstance(document, dict) else set()
            for form in forms:
                rows = document[form]
                if not (isinstance(rows, list) and all(isinstance(row, str) for row in rows)):
                    raise _bad(f"{form} is not a list of texts.")


def is_shifted(table: pd.DataFrame) -> bool:
    """Whether pandas took the first field of each row for its label."""
    return len(table) > 0 and not isinstance(table.index, pd.RangeIndex)


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
