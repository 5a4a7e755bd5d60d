"""Run a command, and measure its time."""

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

EPOCH_LINE = re.compile(r"Epoch \d+/\d+")


class Sample(NamedTuple):
    """One run of a command.

    Attributes:
        seconds: wall time of the process.
        epochs: seconds of each epoch except the last one, which prints no line at its end. An epoch
            starts with a line such as "Epoch 1/5".
        output: standard output and standard error.
    """

    seconds: float
    epochs: list[float]
    output: str


class CommandError(Exception):
    """A command of the benchmark failed. The message has its output."""


def measure_command(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Sample:
    """Run a command to its end.

    Raises:
        CommandError: its exit status is not zero.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = list(_timed_lines(process))
    process.wait()
    seconds = time.perf_counter() - start
    output = "".join(line for _, line in lines)
    if process.returncode:
        raise CommandError(f"{' '.join(command)} exited with {process.returncode}:\n{output}")
    return Sample(seconds, epoch_seconds(lines), output)


def _timed_lines(process: "subprocess.Popen[str]") -> Iterator[tuple[float, str]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield time.perf_counter(), line


def epoch_seconds(lines: Sequence[tuple[float, str]]) -> list[float]:
    """Return the seconds of each epoch, see `Sample`."""
    starts = [moment for moment, line in lines if EPOCH_LINE.match(line)]
    return [after - before for before, after in pairwise(starts)]
