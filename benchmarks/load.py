"""`python -m benchmarks.load`: throughput and latency of `make serve` and of MLflow's server.

The servers serve the champion and take turns, for several rounds. Each client sends its next
request when it has its response. A request has one real test review. Writes `load.md` next to this
file.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from workflow import commands, files, outputs, provenance
from workflow.files import read_reviews
from workflow.processes import LOOPBACK
from workflow.registry.champion import champion_version, model_uri_of
from workflow.store import tracking_uri

RESULTS = Path(__file__).with_name("load.md")
OURS = "`make serve`"
OURS_WITH_LOG = "`make serve LOG=log`"
MLFLOW = "`mlflow models serve`"
CLIENTS = (1, 8, 32)
ROUNDS = 5
SECONDS = 5.0  # duration of a round
MAX_TEXTS = 500


class Load(NamedTuple):
    """Throughput and latency of one server in one round.

    Attributes:
        server: its name in the table.
        clients: number of clients that sent requests at once.
        per_second: requests a second.
        p50: median latency, milliseconds.
        p99: 99th percentile of the latency, milliseconds.
    """

    server: str
    clients: int
    per_second: float
    p50: float
    p99: float


def read_requests() -> list[bytes]:
    """Return HTTP requests, each with a real test review."""
    words = outputs.read_vocabulary()
    reviews = read_reviews(files.FETCH, "test")
    (order,) = files.read_arrays(files.PAD, ["test_order"])
    requests = []
    for review in order[:MAX_TEXTS]:
        text = " ".join(words[rank] for rank in reviews[review])
        body = json.dumps({"dataframe_records": [{"text": text}]}).encode()
        head = (
            f"POST /invocations HTTP/1.1\r\nHost: {LOOPBACK}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    """Send a request, and return the seconds until its response was received."""
    start = time.perf_counter()
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if not head.startswith("http/1.1 200"):
        raise RuntimeError(f"The server responded: {head}")
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    await reader.readexactly(length)
    return time.perf_counter() - start


async def run_client(port: int, requests: list[bytes], first: int, seconds: float) -> list[float]:
    """Send one request after the other over one connection, and return the seconds of each."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        request = requests[(first + len(latencies)) % len(requests)]
        latencies.append(await send(reader, writer, request))
    writer.close()
    return latencies


async def measure_load(
    server: str, port: int, requests: list[bytes], clients: int, seconds: float
) -> Load:
    """Let clients send requests at the same time, and return their load."""
    jobs = [
        run_client(port, requests, client * len(requests) // clients, seconds)
        for client in range(clients)
    ]
    latencies = np.concatenate(await asyncio.gather(*jobs))
    p50, p99 = 1000 * np.percentile(latencies, [50, 99])
    return Load(server, clients, len(latencies) / seconds, float(p50), float(p99))


def free_port() -> int:
    """Return a port of the loopback address on which nothing listens."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def wait_for_response(server: "subprocess.Popen[bytes]", url: str) -> None:
    """Wait until a server responds with success.

    Raises:
        RuntimeError: it exited.
    """
    while server.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"The server exited with {server.returncode}: {server.args!r}")


@contextmanager
def running_server(command: list[str], port: int, **environment: str) -> Iterator[int]:
    """Run a server while the block runs, and yield its port once it responds."""
    variables = {**os.environ, **environment}
    process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
    try:
        wait_for_response(process, f"http://{LOOPBACK}:{port}/ping")
        yield port
    finally:
        process.terminate()
        process.wait()


def run_our_server(**variables: str) -> AbstractContextManager[int]:
    port = free_port()
    return running_server(
        [sys.executable, "-m", "tools.serve"], port, SERVE_PORT=str(port), **variables
    )


def run_mlflow_server() -> AbstractContextManager[int]:
    port = free_port()
    version = model_uri_of(champion_version())
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    arguments = ["--env-manager", "local", "--host", LOOPBACK, "--port", str(port)]
    return running_server(
        [mlflow, "models", "serve", "--model-uri", version, *arguments],
        port,
        MLFLOW_TRACKING_URI=tracking_uri(),
    )


def measure_all(ports: Mapping[str, int], requests: list[bytes]) -> pd.DataFrame:
    """Let the servers take turns, with each number of clients, and return all rounds."""
    for server, port in ports.items():  # the first requests compile the model
        asyncio.run(measure_load(server, port, requests, max(CLIENTS), SECONDS))
    return pd.DataFrame(
        [
            asyncio.run(measure_load(server, port, requests, clients, SECONDS))
            for _ in range(ROUNDS)
            for clients in CLIENTS
            for server, port in ports.items()
        ]
    )


def to_markdown(loads: pd.DataFrame) -> str:
    """Return a table of the medians of all rounds, and of the ratios to MLflow's server."""
    loads = loads.copy()
    servers = len(loads["server"].unique())
    baseline = loads.loc[loads["server"] == MLFLOW, "per_second"].repeat(servers).to_numpy()
    loads["ratio"] = loads["per_second"] / baseline
    medians = loads.groupby(["clients", "server"], sort=False).median()
    rows = [
        {
            "clients": row.clients,
            "server": row.server,
            "requests a second": f"{row.per_second:.0f}",
            "times MLflow's": f"{row.ratio:.1f}",
            "p50": f"{row.p50:.1f} ms",
            "p99": f"{row.p99:.1f} ms",
        }
        for row in medians.reset_index().itertuples()
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


@commands.command(__doc__)
def main() -> None:
    requests = read_requests()
    with (
        tempfile.TemporaryDirectory() as log,
        run_our_server() as ours,
        run_our_server(LOG=log) as ours_with_log,
        run_mlflow_server() as mlflow,
    ):
        ports = {OURS: ours, OURS_WITH_LOG: ours_with_log, MLFLOW: mlflow}
        table = to_markdown(measure_all(ports, requests))
    machine = provenance.machine_tags()
    head = (
        "# Load\n\nWritten by `python -m benchmarks.load`: one real review a request. Servers and "
        f"clients share {machine['processor.cores']} cores of an {machine['processor.name']}. "
        f"Medians of {ROUNDS} rounds of {SECONDS:.0f} s, in which the servers took turns."
    )
    print(table)
    RESULTS.write_text(f"{head}\n\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.load", main)
