"""`python -m benchmarks.team.team_load`: trainings that log at once, to a server and to SQLite.

Each client is a process that logs one training after the other by the project's own calls: a run
with its params and tags, five epochs as they end, and a folder of files; without the time that a
training takes between. Afterwards every point and every file must be there. Writes `team_load.md`
beside this file.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar
from uuid import uuid4

import click
import numpy as np

from extras.team.server_options import FILE, Server
from sentiment.network.progress import METRICS, history_frame
from tests.extras.team.servers import team
from tests.project import ROOT
from workflow import commands, files, provenance, store, tracking
from workflow.about import About, write_about
from workflow.outputs import RunRecord
from workflow.params import load_yaml
from workflow.tracking import LiveRun

if TYPE_CHECKING:
    import mlflow

P = ParamSpec("P")
T = TypeVar("T")
RESULTS = Path(__file__).with_name("team_load.md")
SERVER_CLIENTS, EMBEDDED_CLIENTS = 20, 8
EPOCHS = 5
AT_ONCE = 8  # runs that are looked at at once afterwards
FILES = {"history.csv": 400, "predictions.csv": 200_000, "model.keras": 1_000_000}  # bytes
PARAMS = {f"param {number}": number for number in range(60)}
TAGS = {"mlflow.user": "client", "dataset": "none"}


class Load(NamedTuple):
    """What the clients of a store saw.

    Attributes:
        store: its name.
        clients: how many logged at once.
        trainings: that they logged in all.
        calls: how long each call took, seconds, shape (calls,).
        lost: what is missing afterwards.
    """

    store: str
    clients: int
    trainings: int
    calls: Any
    lost: list[str]


def log_trainings(folder: Path, until: float) -> dict[str, Any]:
    """Log trainings until a time; return the runs and how long each call took."""
    taken: list[float] = []

    def timed(write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        started = time.perf_counter()
        result = write(*args, **kwargs)
        taken.append(time.perf_counter() - started)
        return result

    run_ids = []
    while time.time() < until:
        record = RunRecord(
            training_id=uuid4().hex,
            name="load",
            started=tracking.now_ms(),
            tags=TAGS,
            datasets=[],
            uncommitted="",
        )
        live_run = timed(LiveRun, record, PARAMS, tracking.SYNC_REMEDY)
        epochs: list[dict[str, float]] = []
        for epoch in range(1, EPOCHS + 1):
            epochs.append({**dict.fromkeys(METRICS, 0.5), "loss": 1 / epoch})
            timed(live_run.log_epochs, history_frame(epochs))
        if live_run.run is None or live_run.store_error:
            raise SystemExit(str(live_run.store_error))
        timed(tracking.log_files, live_run.run, folder, list(FILES), "train")
        timed(tracking.end_run, live_run.run, "FINISHED")
        run_ids.append(live_run.run.run_id)
    return {"runs": run_ids, "calls": taken}


def work(number: int, until: float, folder: Path) -> None:
    """A client: log trainings, and write what came of it into a file."""
    files.write_json(folder / f"client-{number}.json", log_trainings(folder, until))


def lost(run_ids: list[str]) -> Iterator[str]:
    """What the store lacks of the runs."""
    import mlflow

    store.connect()
    client = mlflow.MlflowClient()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for problems in pool.map(lambda run_id: list(lost_of(client, run_id)), run_ids):
            yield from problems


def lost_of(client: "mlflow.MlflowClient", run_id: str) -> Iterator[str]:
    """What the store lacks of a run."""
    run = client.get_run(run_id)
    if run.info.status != "FINISHED" or len(run.data.params) != len(PARAMS):
        yield f"{run_id}: status or params"
    for name in METRICS:
        points = client.get_metric_history(run_id, name)
        if sorted(point.step for point in points) != list(range(1, EPOCHS + 1)):
            yield f"{run_id}: {name}"
    sizes = {Path(f.path).name: f.file_size for f in client.list_artifacts(run_id, "train")}
    if sizes != FILES:
        yield f"{run_id}: files"


def measure(
    store: str, clients: int, seconds: float, folder: Path, extra: Mapping[str, str]
) -> Load:
    """Let so many clients log for so many seconds, in processes of their own."""
    for name, size in FILES.items():
        (folder / name).write_bytes(os.urandom(size))
    write_about(folder, About())
    until = time.time() + 10 + seconds  # they need a while to start
    code = (
        "import sys; from pathlib import Path; from benchmarks.team import team_load; "
        "team_load.work(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))"
    )
    environment = {**os.environ, **extra, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number), str(until), str(folder)],
            cwd=folder,
            env=environment,
        )
        for number in range(clients)
    ]
    failed = [number for number, process in enumerate(processes) if process.wait()]
    results = [files.read_json(path) for path in sorted(folder.glob("client-*.json"))]
    run_ids = [run_id for result in results for run_id in result["runs"]]
    calls = np.concatenate([result["calls"] for result in results])
    with standing_in(folder, extra):
        missing = [f"client {number} failed" for number in failed] + list(lost(run_ids))
    return Load(store, clients, len(run_ids), calls, missing)


@contextmanager
def standing_in(folder: Path, extra: Mapping[str, str]) -> Iterator[None]:
    """In the block, this process is in a folder and has further variables."""
    before, where = dict(os.environ), Path.cwd()
    os.chdir(folder)
    os.environ.update(extra)
    try:
        yield
    finally:
        os.chdir(where)
        os.environ.clear()
        os.environ.update(before)


def row(load: Load) -> str:
    """A row of the table."""
    median, p99 = 1000 * np.percentile(load.calls, [50, 99])
    return (
        f"| {load.store} | {load.clients} | {load.trainings:,} | {len(load.calls):,} "
        f"| {median:,.0f} ms | {p99:,.0f} ms | {len(load.lost) or 'nothing'} |"
    )


def page(loads: list[Load], seconds: float) -> str:
    """The page, as Markdown."""
    here = provenance.machine_tags()
    head = "| store | clients | trainings | calls | p50 | p99 | lost |\n" + "| --- " * 7 + "|"
    return (
        "# Logging at once\n\nWritten by `python -m benchmarks.team.team_load`: clients that log "
        f"one training after the other for {seconds:,.0f} s, without the time of the training. "
        "Server, database, object store and clients share "
        f"{here['processor.cores']} cores of an {here['processor.name']}.\n\n"
        + "\n".join([head, *(row(load) for load in loads)])
        + "\n"
    )


@commands.command(__doc__)
@click.option("--seconds", type=click.FloatRange(min=1), default=300, help="How long they log.")
def main(seconds: float) -> int:
    loads = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("server", "team", "embedded"):
            Path(scratch, name).mkdir()
        shipped = load_yaml(Server, ROOT / FILE)
        with team(Path(scratch, "server"), workers=shipped.workers) as server:
            name = f"PostgreSQL and S3, `make server` with {shipped.workers} workers"
            load = (name, SERVER_CLIENTS, seconds)
            loads.append(measure(*load, Path(scratch, "team"), server.user("alice")))
        load = ("SQLite and a folder, embedded", EMBEDDED_CLIENTS, seconds)
        own = {"MLFLOW_TRACKING_URI": ""}
        loads.append(measure(*load, Path(scratch, "embedded"), own))
    files.write_text_atomically(RESULTS, page(loads, seconds))
    print(page(loads, seconds))
    for problem in (problem for load in loads for problem in load.lost):
        print(problem, file=sys.stderr)
    return int(any(load.lost for load in loads))


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.team.team_load", main)
