"""Ways to break a batch prediction, and what can be lost.

Nothing is lost if afterwards every row is there once, in order, with the prediction that it has in
an undisturbed folder, and if the folder has no other files. A part may be predicted twice for each
worker that was killed.
"""

import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pandas as pd
import psutil

from benchmarks.breaking import Fault, Group, Try, kill_tree, small_disk, started, tree
from extras.score.parts import PARTS
from extras.score.score_run import MANIFEST
from tests.own_texts import write_texts
from tests.project import Project, until
from tests.services import Cluster, dask, kill, mlflow_server

FILE = "long.csv"
OUT = "predictions"
ROWS = 60_000
COMMAND = ("python", "-m", "extras.score", "--file", FILE, "--text", "body", "--out", OUT)
HERE = (*COMMAND, "--workers", "2")
WRITE = f"from tests.own_texts import *; write_texts(Path('{FILE}'), 3, {ROWS})"


def begin(attempt: Try, *command: str) -> "subprocess.Popen[str]":
    """Write the texts, and start to predict them."""
    write_texts(attempt.project.path / FILE, 3, ROWS)
    return started(attempt.project, *command)


def kill_worker(attempt: Try) -> None:
    process = begin(attempt, *HERE)
    time.sleep(attempt.rng.uniform(1, attempt.seconds))
    with suppress(psutil.NoSuchProcess, IndexError):  # it has just ended, or none has begun
        workers = [child for child in tree(process) if "spawn_main" in " ".join(child.cmdline())]
        attempt.rng.choice(workers).kill()
    process.wait(timeout=300)
    assert process.returncode == 0


def kill_command(attempt: Try) -> None:
    """Kill the command. Its workers may live a moment longer."""
    process = begin(attempt, *HERE)
    time.sleep(attempt.rng.uniform(1, attempt.seconds))
    process.kill()
    process.wait()
    attempt.project.run(*HERE)


def kill_all(attempt: Try) -> None:
    process = begin(attempt, *HERE)
    time.sleep(attempt.rng.uniform(1, attempt.seconds))
    kill_tree(process)
    attempt.project.run(*HERE)


def are_ready(cluster: Cluster) -> bool:
    return cluster.output.read_text().count("Registered to") == len(cluster.workers)


def kill_scheduler(attempt: Try) -> None:
    """Kill the scheduler and its two workers in clones. Then start all of them again."""
    beside = attempt.project.path.parent
    (beside / "server").mkdir()
    shutil.copy2(attempt.project.path / "mlflow.db", beside / "server" / "served.db")
    server = attempt.servers.enter_context(mlflow_server(beside / "server"))
    attempt.project.environment["MLFLOW_TRACKING_URI"] = server
    for name in ("first", "second"):
        (beside / name).mkdir()
        cluster = attempt.servers.enter_context(dask(beside / name, attempt.project.path, 2))
        command = (*COMMAND, "--scheduler", cluster.address)
        until(partial(are_ready, cluster))
        if name == "second":
            attempt.project.run(*command)
            return
        process = begin(attempt, *command)
        time.sleep(attempt.rng.uniform(1, attempt.seconds))
        for one in (cluster.scheduler, *cluster.workers):
            kill(one)
        process.wait(timeout=300)


def fill_disk(attempt: Try) -> None:
    folder = attempt.project.path / OUT
    write_texts(attempt.project.path / FILE, 3, ROWS)
    with small_disk(folder):
        free = shutil.disk_usage(folder).free
        (folder / "filler").write_bytes(b"\0" * attempt.rng.randint(free // 2, free))
        attempt.project.run(*HERE, status=None)
        (folder / "filler").unlink()
        shutil.copytree(folder, attempt.project.path / "kept")
    (attempt.project.path / "kept").rename(folder)
    attempt.project.run(*HERE)


def change_file(attempt: Try) -> None:
    """Append a row during the command. The predictions are those of the file as it was."""
    process = begin(attempt, *HERE)
    time.sleep(attempt.rng.uniform(1, attempt.seconds))
    with (attempt.project.path / FILE).open("a", encoding="utf-8") as file:
        file.write("another,1\n")
    process.wait(timeout=300)
    if process.returncode:  # it was still being read
        write_texts(attempt.project.path / FILE, 3, ROWS)
        attempt.project.run(*HERE)


def losses(project: Project, undisturbed: Project) -> list[str]:
    """Return how the folder differs from an undisturbed one."""
    lost = []
    folder = project.path / OUT
    predictions = pd.read_parquet(folder / PARTS)
    expected = pd.read_parquet(undisturbed.path / OUT / PARTS)
    if not predictions.equals(expected):
        lost.append(f"{len(predictions)} predictions, or different ones")
    if sorted(path.name for path in folder.iterdir()) != [".lock", MANIFEST, PARTS]:
        lost.append("files are left over")
    return lost


def kill_at_random(what: str, happen: Callable[[Try], None]) -> Fault:
    return Fault(f"scoring: {what} killed at a random moment, then again", 20, happen)


GROUP = Group(
    changes={},
    command=("bash", "-c", f'python -c "{WRITE}" && {" ".join(HERE)}'),
    losses=losses,
    faults=[
        kill_at_random("a worker", kill_worker),
        kill_at_random("the command", kill_command),
        kill_at_random("the command and its workers", kill_all),
        kill_at_random("a cluster's scheduler and workers", kill_scheduler),
        Fault("scoring: disk full, then not", 3, fill_disk),
        Fault("scoring: the file changes meanwhile", 3, change_file),
    ],
)
