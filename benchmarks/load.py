"""`python -m benchmarks.load`: how many texts a second the champion's server answers, how soon.

Starts `make serve`'s server and asks it from 1, 10 and 50 clients, each of which sends its next
request when it has its answer. The texts are real test reviews. Writes `load.md` beside this file.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.project import free_port, wait_for
from workflow import cli, evaluation, files
from workflow.children import HOST
from workflow.files import read_reviews
from workflow.runs import identity

RESULTS = Path(__file__).with_name("load.md")
CLIENTS = (1, 10, 50)
SECONDS = 10.0
WARM_UP = 50  # requests
TEXTS = 500


class Load(NamedTuple):
    """What so many clients at once got: requests a second, and milliseconds of a request."""

    clients: int
    per_second: float
    median: float
    p99: float


def read_texts() -> list[bytes]:
    """Bodies of requests, a real test review each."""
    words, reviews = evaluation.read_words(), read_reviews(files.FETCH, "test")
    order = files.read_arrays(files.PAD, ["test_order"])[0][:TEXTS]
    texts = [" ".join(words[rank] for rank in reviews[review]) for review in order]
    return [json.dumps({"dataframe_records": [{"text": text}]}).encode() for text in texts]


def client(port: int, bodies: list[bytes], seconds: float) -> list[float]:
    """Ask one after the other over one connection; return the seconds that each took."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        body = bodies[len(taken) % len(bodies)]
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"the server answered {response.status}")
        taken.append(time.perf_counter() - begun)
    return taken


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


@cli.command(__doc__)
def main() -> None:
    port, bodies = free_port(), read_texts()
    environment = {**os.environ, "SERVE_PORT": str(port)}
    server = subprocess.Popen([sys.executable, "-m", "tools.serve"], env=environment)
    try:
        wait_for(f"http://{HOST}:{port}/health")
        client(port, bodies[:WARM_UP], 2.0)
        loads = [measure(port, bodies, clients, SECONDS) for clients in CLIENTS]
    finally:
        server.terminate()
        server.wait()
    print(table(loads))
    here = identity.describe()
    head = (
        "# Load\n\nWritten by `python -m benchmarks.load`: one real review a request; server and "
        f"clients share {here['processor.cores']} cores of an {here['processor.name']}.\n\n"
    )
    RESULTS.write_text(f"{head}{table(loads)}\n", encoding="utf-8")


if __name__ == "__main__":
    cli.run("python -m benchmarks.load", main)
