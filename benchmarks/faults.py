"""`make faults`: break trainings, do what a user would do next, see what was lost.

Each try is a copy of a small project with one run in its store. A command is begun and broken;
then comes the same command, or what the fault names. What "nothing lost" means is at the top of
the `*_faults.py` here and in `extras/`. Writes `faults.md` beside this file.
"""

import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import click
import psutil

from benchmarks.breaking import Fault, Group, Try
from benchmarks.training_faults import REPRO
from tests.project import DEFAULT_PARAMS, EPOCHS, SMALL, Project, change_params
from workflow import commands

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("faults.md")
SEED = 0
UNTRIED = """
Not tried: loss of power (a test watches that files and folders are flushed to the disk before they
are moved into place), a folder on a network file system, and two machines that work in one folder
at the same time.
"""


def groups() -> list[Group]:
    """The faults of the core, and those of each capability in `extras/`."""
    modules = sorted(Path(__file__).parent.rglob("*_faults.py"), key=lambda path: path.name)
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    return [import_module(name).GROUP for name in reversed(names)]


def finished_project(folder: Path) -> Project:
    """A clone of this commit with small parameters, after its first run."""
    command = ["git", "clone", "--quiet", str(ROOT), str(folder)]
    subprocess.run(command, check=True)
    project = Project(folder)
    shutil.copy2(DEFAULT_PARAMS, folder / "params.yaml")
    change_params(folder / "params.yaml", SMALL)
    project.run(*REPRO)
    project.commit()
    return project


class Ready(NamedTuple):
    """What the faults of a group are tried on.

    Attributes:
        project: to be copied for each try.
        undisturbed: one in which nothing happened.
        seconds: how long the command takes in it.
    """

    project: Project
    undisturbed: Project
    seconds: float


def make_ready(group: Group, finished: Project, scratch: Path) -> Ready:
    """Prepare the projects of a group in an empty folder."""
    project = finished.copy(scratch / "project")
    project.change(**group.changes)
    undisturbed = project.copy(scratch / "undisturbed")
    begun = time.monotonic()
    undisturbed.run(*group.command)
    return Ready(project, undisturbed, time.monotonic() - begun)


def attempt(fault: Fault, group: Group, ready: Ready, number: int) -> list[str]:
    """Try a fault once; return what was lost."""
    # a path of its own: MLflow keeps a database open, and would take it for that of the next try
    folder = Path(tempfile.mkdtemp(prefix="try-", dir=ready.project.path.parent))
    project, rng = ready.project.copy(folder / "project"), f"{SEED} {fault.what} {number}"
    try:
        with ExitStack() as servers:
            fault.happen(Try(project, ready.seconds, random.Random(rng), servers))
            return group.losses(project, ready.undisturbed)
    except (AssertionError, TimeoutError, OSError, psutil.Error, subprocess.SubprocessError) as e:
        return [f"{type(e).__name__}: {str(e)[-300:]}"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(scratch: Path, most: int, only: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Try every fault whose name contains `only`; yield its name and what each try lost."""
    finished = finished_project(scratch / "finished")
    for number, group in enumerate(groups()):
        faults = [fault for fault in group.faults if only in fault.what]
        if faults:
            (scratch / str(number)).mkdir()
            ready = make_ready(group, finished, scratch / str(number))
        for fault in faults:
            tries = range(min(fault.tries, most))
            yield fault.what, [attempt(fault, group, ready, number) for number in tries]


def rows_before() -> dict[str, str]:
    """The table's rows of the last run, by fault."""
    if not RESULTS.exists():
        return {}
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    return {
        line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")
    }


def row(what: str, lost: list[list[str]]) -> str:
    """A row of the table, from what each try lost."""
    unharmed = sum(not losses for losses in lost)
    said = "; ".join(sorted({" ".join(text.split()) for losses in lost for text in losses})) or "–"
    return f"| {what} | {len(lost)} | {unharmed} | {said} | {datetime.now():%Y-%m-%d} |"


@commands.command(__doc__)
@commands.option(
    "--tries",
    envvar="TRIES",
    type=click.IntRange(min=1),
    default=20,
    help="Try each fault so often at most.",
)
@commands.option(
    "--only", envvar="ONLY", default="", help="Try just the faults whose name has this in it."
)
def main(tries: int, only: str) -> int:
    rows, any_lost = rows_before() if only else {}, False
    with tempfile.TemporaryDirectory() as scratch:
        for what, lost in measure(Path(scratch), tries, only):
            rows[what] = row(what, lost)
            print(rows[what], flush=True)
            any_lost |= any(lost)
            write(rows)
    return int(any_lost)


def write(rows: Mapping[str, str]) -> None:
    """Write the table, its rows in the order of the faults."""
    head = [
        f"# Faults\n\nWritten by `make faults`, {EPOCHS} epochs.\n",
        "| fault | tries | nothing lost | what was lost | tried |",
        "| --- | --- | --- | --- | --- |",
    ]
    table = [rows[fault.what] for group in groups() for fault in group.faults if fault.what in rows]
    RESULTS.write_text("\n".join([*head, *table, UNTRIED]), encoding="utf-8")


if __name__ == "__main__":
    commands.run_command("make faults", main)
