"""Measure the throughput and latency of `sentiment serve` and of MLflow's server.

    python -m benchmarks.serve.load

The servers serve the champion and take turns, for several rounds. Each client sends its next
request when it has its response. A request has one test review. Writes `load.md` next to this file.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pandas as pd

from sentiment.backend import usable_cores
from sentiment.project.arrays import read_reviews
from sentiment.project.documents import read_json
from sentiment.project.machine import processor_name
from sentiment.project.params_file import load_params
from sentiment.project.paths import Project
from sentiment.text.model_files import WORD_INDEX_FILE
from sentiment.tracking import address, registry

LOAD_PAGE = Path(__file__).with_name("load.md")
HOST = "127.0.0.1"
MLFLOW = "`mlflow models serve`"
CLIENTS = (1, 8, 32)
ROUNDS = 3
ROUND_SECONDS = 5.0  # of a round
TEXTS = 500


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


def read_requests(project: Project) -> list[bytes]:
    """Return HTTP requests, each with a test review."""
    word_index = read_json(project.fetched / WORD_INDEX_FILE)
    words = {rank: word for word, rank in word_index.items()}
    requests = []
    for review in islice(read_reviews(project.fetched, "test"), TEXTS):
        text = " ".join(words[rank] for rank in review)
        body = json.dumps({"dataframe_records": [{"text": text}]}).encode()
        head = (
            f"POST /invocations HTTP/1.1\r\nHost: {HOST}\r\n"
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


async def run_client(port: int, requests: Sequence[bytes], first: int) -> list[float]:
    """Send one request after the other over one connection, and return the seconds of each."""
    reader, writer = await asyncio.open_connection(HOST, port)
    latencies: list[float] = []
    end = time.perf_counter() + ROUND_SECONDS
    while time.perf_counter() < end:
        request = requests[(first + len(latencies)) % len(requests)]
        latencies.append(await send(reader, writer, request))
    writer.close()
    return latencies


async def measure_load(server: str, port: int, requests: Sequence[bytes], clients: int) -> Load:
    """Let clients send requests at the same time, and return their load."""
    jobs = [
        run_client(port, requests, client * len(requests) // clients) for client in range(clients)
    ]
    latencies = np.concatenate(await asyncio.gather(*jobs))
    p50, p99 = 1000 * np.percentile(latencies, [50, 99])
    return Load(server, clients, len(latencies) / ROUND_SECONDS, float(p50), float(p99))


@contextmanager
def running_server(*command: str) -> Iterator[int]:
    """Run a server while the block runs, and yield its port once it responds.

    Raises:
        RuntimeError: it exited.
    """
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            with suppress(OSError):
                urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5).close()
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"The server exited with {process.returncode}: {process.args!r}")
        yield port
    finally:
        process.terminate()
        process.wait()


def measure_all(ports: Mapping[str, int], requests: Sequence[bytes], rounds: int) -> pd.DataFrame:
    """Let the servers take turns, with each number of clients.

    Returns:
        A row with the fields of `Load` for each server, number of clients and round.
    """
    for server, port in ports.items():  # the first requests compile the model
        asyncio.run(measure_load(server, port, requests, max(CLIENTS)))
    return pd.DataFrame(
        [
            asyncio.run(measure_load(server, port, requests, clients))
            for _ in range(rounds)
            for clients in CLIENTS
            for server, port in ports.items()
        ]
    )


def format_load(loads: pd.DataFrame) -> str:
    """Return a table of the medians over all rounds, from what `measure_all` returns."""
    medians = loads.groupby(["clients", "server"], sort=False).median().reset_index()
    mlflow = medians[medians["server"] == MLFLOW].set_index("clients")["per_second"]
    table = pd.DataFrame(
        {
            "clients": medians["clients"],
            "server": medians["server"],
            "requests a second": medians["per_second"].map("{:.0f}".format),
            "times MLflow's": (medians["per_second"] / medians["clients"].map(mlflow)).map(
                "{:.1f}".format
            ),
            "p50": medians["p50"].map("{:.1f} ms".format),
            "p99": medians["p99"].map("{:.1f} ms".format),
        }
    )
    return table.to_markdown(index=False, disable_numparse=True)


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True)
def main(rounds: int) -> None:
    project = Project.here()
    requests = read_requests(project)
    os.environ["MLFLOW_TRACKING_URI"] = address.tracking_uri(project)  # for MLflow's server
    dataset = load_params(project).fetch.dataset_name
    champion = f"models:/{registry.registered_name(dataset)}@{registry.CHAMPION}"
    serve = (sys.executable, "-m", "sentiment", "serve")
    mlflow = (sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local")
    with ExitStack() as stack:
        commands = {
            "`sentiment serve`": serve,
            MLFLOW: (*mlflow, "--host", HOST, "--model-uri", champion),
        }
        ports = {
            name: stack.enter_context(running_server(*command))
            for name, command in commands.items()
        }
        table = format_load(measure_all(ports, requests, rounds))
    processor = f"{usable_cores()} cores of an {processor_name()}"
    page = f"""\
# Load

Written by `python -m benchmarks.serve.load` on {date.today()}: one test review a request. Servers
and clients share {processor}. Medians of {rounds} rounds of {ROUND_SECONDS:g} s, in which the
servers took turns.

{table}
"""
    LOAD_PAGE.write_text(page, encoding="utf-8")
    click.echo(table)


if __name__ == "__main__":
    main()
