"""Measure the pipeline beside the notebook that it replaces: `make bench`.

In each round, these programs take turns, each in a process of its own: the pipeline of the last
commit in a new clone, the same again with nothing to do, `notebook.py` without and with
autologging, and `pytorch.py`. Writes `results.md` next to this file.
"""

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click
import pandas as pd

from sentiment.backend import usable_cores
from sentiment.project.training.machine import package_versions, processor_name

ROOT = Path(__file__).parents[1]
NOTEBOOK = Path(__file__).with_name("notebook.py")
PYTORCH = Path(__file__).with_name("pytorch.py")
RESULTS = Path(__file__).with_name("results.md")
PYTHON_OF_PYTORCH = ROOT / ".bench" / "bin" / "python"
EPOCH_LINE = re.compile(r"(Epoch)? *\d/\d\b")  # "Epoch 1/5" of Keras, " 1/5" of the pipeline
Series = dict[str, list[float]]  # seconds by what was measured


class Timed(NamedTuple):
    """A process that was measured.

    Attributes:
        seconds: its duration.
        epochs: seconds of each epoch that `epoch_seconds` returns.
    """

    seconds: float
    epochs: list[float]


def run(folder: Path, *command: str | Path) -> Timed:
    """Run a command in a folder to its end, and measure it.

    Raises:
        click.ClickException: its exit status is not zero.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [(time.perf_counter(), line) for line in process.stdout]
    seconds = time.perf_counter() - started
    if process.returncode:
        output = "".join(line for _, line in lines)
        raise click.ClickException(f"{process.args!r} exited with {process.returncode}:\n{output}")
    return Timed(seconds, epoch_seconds(lines))


def epoch_seconds(lines: Iterable[tuple[float, str]]) -> list[float]:
    """Return the durations of three of the five epochs, and not of the first, which compiles.

    These are epochs 2 to 4 if each line is printed when its epoch starts, as most programs do, and
    epochs 3 to 5 if it is printed when its epoch ends, as the pipeline does.

    Args:
        lines: the moment in seconds at which each line was printed, and the line.
    """
    moments = [moment for moment, line in lines if EPOCH_LINE.match(line)]
    return [after - before for before, after in pairwise(moments)][1:]


def environment() -> dict[str, str]:
    """Return the environment without what would change the store or the repository."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def measure_round(folder: Path) -> Series:
    """Run each program once in a new folder, and return its seconds."""
    folder.mkdir()
    project = folder / "project"
    run(folder, "git", "clone", "--quiet", ROOT, project)
    pipeline = run(project, "dvc", "repro")
    nothing = run(project, "dvc", "repro")
    notebook = run(folder, sys.executable, NOTEBOOK)
    autolog = run(folder, sys.executable, NOTEBOOK, "--autolog")
    pytorch = run(folder, PYTHON_OF_PYTORCH, PYTORCH, project / "data" / "pad")
    return {
        "`dvc repro`, from nothing": [pipeline.seconds],
        "`dvc repro`, nothing to do": [nothing.seconds],
        "notebook": [notebook.seconds],
        "notebook, autologging": [autolog.seconds],
        "PyTorch": [pytorch.seconds],
        "epoch, pipeline": pipeline.epochs,
        "epoch, notebook": notebook.epochs,
        "epoch, notebook, autologging": autolog.epochs,
        "epoch, PyTorch": pytorch.epochs,
    }


def to_markdown(series: Mapping[str, list[float]]) -> str:
    """Return a table of the median, the minimum, the maximum and the number of values."""
    rows = [
        {
            "seconds": name,
            "median": f"{pd.Series(values).median():.4g}",
            "minimum": f"{min(values):.4g}",
            "maximum": f"{max(values):.4g}",
            "n": len(values),
        }
        for name, values in series.items()
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def describe_conditions() -> str:
    """Return the date, the commit, the processor and the versions as a list in Markdown."""
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True)
    pytorch_version = subprocess.check_output(
        [str(PYTHON_OF_PYTORCH), "-c", "import torch; print(torch.__version__)"], text=True
    )
    packages = package_versions() | {name: version(name) for name in ("mlflow", "dvc")}
    versions = [f"{name} {number}" for name, number in packages.items()]
    return f"""\
- {date.today()}, commit {commit.strip()}
- {processor_name()}, {usable_cores()} cores, {platform.system()}
- Python {platform.python_version()}, {", ".join(versions)}, PyTorch {pytorch_version.strip()}"""


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
def main(rounds: int) -> None:
    series: Series = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(rounds):
            click.echo(f"Round {number + 1} of {rounds}")
            for name, values in measure_round(Path(scratch) / str(number)).items():
                series[name] += values
    table = to_markdown(series)
    RESULTS.write_text(
        f"# Results of `make bench`\n\n{describe_conditions()}\n\n{table}\n", encoding="utf-8"
    )
    click.echo(table)


if __name__ == "__main__":
    main()
