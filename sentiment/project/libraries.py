"""Settings of TensorFlow and MLflow: fewer messages, no telemetry, short waits for a server."""

import logging
import os

# MLflow's own limits let a server that does not answer hold a training up for minutes.
MLFLOW_HTTP_LIMITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
}


def quiet_libraries() -> None:
    """Apply the settings to this process, unless the user has set others."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name, value in MLFLOW_HTTP_LIMITS.items():
        os.environ.setdefault(name, value)
    # MLflow prints tracebacks of errors that `store_errors` turns into messages.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
