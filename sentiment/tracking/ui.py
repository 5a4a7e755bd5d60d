"""MLflow's UI of a local store: a free port, and the addresses of its pages."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from sentiment.errors import UserError
from sentiment.terminal import show
from sentiment.tracking import address, experiments, registry

if TYPE_CHECKING:
    from mlflow import MlflowClient

PORTS: tuple[int, ...] = (
    5000,
    *range(5002, 5100),
)  # MLflow's default first. 5001 is that of `sentiment serve`.
# In the query of a URL: MLflow's pages for training runs, not those for language models
TRAINING_PAGES = "workflowType=machine_learning"
# One worker and no jobs, which are for language models: 0.5 GB of memory instead of 2 GB.
SETTINGS = {
    "MLFLOW_WORKERS": "1",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}
SECURITY_LINE = "[MLflow] Security middleware enabled"  # MLflow says so at each start


def find_port() -> int:
    """Return the first free port of `PORTS`.

    Raises:
        UserError: there is none.
    """
    for port in PORTS:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise UserError(
        f"No port that is tried from {PORTS[0]} to {PORTS[-1]} is free. Name one in MLFLOW_PORT."
    )


def describe_pages(client: "MlflowClient", base: str, dataset: str) -> str:
    """Return lines with the addresses of a dataset's newest run and of all its runs.

    Args:
        base: the address of the UI or the server.
    """
    with address.store_errors():
        experiment = client.get_experiment_by_name(registry.registered_name(dataset))
        ids = [experiment.experiment_id] if experiment else []
        newest = next(experiments.experiment_runs(client, ids, page_size=1), None)
    if newest is None:
        return f"There is no run of {dataset} yet. `dvc repro` makes one:\n  {base}"
    runs = f"{base.rstrip('/')}/#/experiments/{newest.info.experiment_id}/runs"
    return (
        f"The newest run of {dataset}, {newest.info.run_name}:\n"
        f"  {runs}/{newest.info.run_id}?{TRAINING_PAGES}\n"
        f"All runs of {dataset}:\n"
        f"  {runs}?viewStateShareKey={experiments.VIEW}&{TRAINING_PAGES}"
    )


def serve_ui(uri: str, port: int) -> int:
    """Run MLflow's UI of a store until it ends or Ctrl-C ends it, and return its exit status."""
    # A URI may contain a password, and other accounts can read the arguments of a process.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    os.environ["MLFLOW_REGISTRY_STORE_URI"] = uri
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # Messages of the start, and a line for each request, would push the addresses off the screen.
    options = ["--port", str(port), "--uvicorn-opts", "--no-access-log --log-level warning"]
    command = [sys.executable, "-m", "mlflow", "ui", *options]
    # In a group of its own, no signal of the terminal reaches it: MLflow would print a traceback.
    with subprocess.Popen(
        command, process_group=0, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:

        def stop(*_: object) -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        assert process.stderr is not None
        for line in process.stderr:
            if not line.startswith(SECURITY_LINE):
                show(line.rstrip("\n"), err=True)
        status = process.wait()
    return 0 if status == -signal.SIGTERM else status
