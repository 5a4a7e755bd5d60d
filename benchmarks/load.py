"""`python -m benchmarks.load`: how many texts a second the champion's server answers, how soon.

Starts `make serve`'s server and asks it from 1, 10 and 50 clients, each of which sends its next
request when it has its answer. The texts are real test reviews. Then asks two servers in turn, one
of which logs its answers. Writes `load.md` beside this file.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.project import free_port, wait_for
from workflow import commands, files, outputs, provenance
from workflow.files import read_reviews
from workflow.processes import LOOPBACK

RESULTS = Path(__file__).with_name("load.md")
CLIENTS = (1, 10, 50)
SECONDS = 10.0
WARM_UP = 50  # requests
TEXTS = 500
PAIRS = 2000  # of requests, to a server that logs and to one that does not


class Load(NamedTuple):
    """What so many clients at once got: requests a second, and milliseconds of a request."""

    clients: int
    per_second: float
    median: float
    p99: float


def read_texts() -> list[bytes]:
    """Bodies of requests, a real test review each."""
    words, reviews = outputs.read_vocabulary(), read_reviews(files.FETCH, "test")
    order = files.read_arrays(files.PAD, ["test_order"])[0][:TEXTS]
    texts = [" ".join(words[rank] for rank in reviews[review]) for review in order]
    return [json.dumps({"dataframe_records": [{"text": text}]}).encode() for text in texts]


def client(port: int, bodies: list[bytes], seconds: float) -> list[float]:
    """Ask one after the other over one connection; return the seconds that each took."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        taken.append(ask(connection, bodies[len(taken) % len(bodies)]))
    return taken


def ask(connection: http.client.HTTPConnection, body: bytes) -> float:
    """Ask once; return the seconds until the answer was there."""
    begun = time.perf_counter()
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise RuntimeError(f"the server answered {response.status}")
    return time.perf_counter() - begun


def measure(port: int, bodies: list[bytes], clients: int, seconds: float) -> Load:
    """Ask from so many clients at once."""
    with ThreadPoolExecutor(clients) as pool:
        starts = [bodies[number:] + bodies[:number] for number in range(clients)]
        seconds_of_clients = list(pool.map(lambda start: client(port, start, seconds), starts))
    taken = np.concatenate(seconds_of_clients)
    median, p99 = np.percentile(taken, [50, 99])
    return Load(clients, len(taken) / seconds, 1000 * median, 1000 * p99)


def table(loads: list[Load]) -> str:
    """The results as Markdown."""
    rows = [
        f"| {load.clients} | {load.per_second:.0f} | {load.median:.1f} ms | {load.p99:.1f} ms |"
        for load in loads
    ]
    head = ["| clients at once | requests a second | p50 | p99 |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


@contextmanager
def server(bodies: list[bytes], **settings: str) -> Iterator[int]:
    """The port of a server of the champion that is warm, by variables of `make serve`."""
    port = free_port()
    environment = {**os.environ, **settings, "SERVE_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "tools.serve"], env=environment)
    try:
        wait_for(f"http://{LOOPBACK}:{port}/health")
        client(port, bodies[:WARM_UP], 2.0)
        yield port
    finally:
        process.terminate()
        process.wait()


def cost_of_log(bodies: list[bytes], port: int, with_log: int) -> str:
    """Ask two servers in turn; say how long the median answers take, and how many times that is."""
    connections = [
        http.client.HTTPConnection(LOOPBACK, port, timeout=60) for port in (port, with_log)
    ]
    taken: list[list[float]] = [[], []]
    for number in range(PAIRS):
        for which in (number % 2, 1 - number % 2):
            taken[which].append(ask(connections[which], bodies[number % len(bodies)]))
    plain, logged = np.median(taken, axis=1)
    return (
        f"With `LOG`, the median of {PAIRS:,} answers to one client takes {1000 * logged:.2f} ms, "
        f"{logged / plain:.3f} times that without it, asked in turn ({1000 * plain:.2f} ms)."
    )


@commands.command(__doc__)
def main() -> None:
    bodies = read_texts()
    with server(bodies) as port:
        loads = [measure(port, bodies, clients, SECONDS) for clients in CLIENTS]
        with tempfile.TemporaryDirectory() as log, server(bodies, LOG=log) as with_log:
            cost = cost_of_log(bodies, port, with_log)
    print(f"{table(loads)}\n{cost}")
    here = provenance.machine_tags()
    head = (
        "# Load\n\nWritten by `python -m benchmarks.load`: one real review a request; server and "
        f"clients share {here['processor.cores']} cores of an {here['processor.name']}.\n\n"
    )
    RESULTS.write_text(f"{head}{table(loads)}\n\n{cost}\n", encoding="utf-8")


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.load", main)
