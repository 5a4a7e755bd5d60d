"""Run a command, and measure its time and the load by other processes."""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil

EPOCH_LINE = re.compile(r"Epoch \d+/\d+")


class Sample(NamedTuple):
    """One run of a command.

    Attributes:
        seconds: wall time of the process.
        epochs: seconds of each epoch except the last one, which prints no line at its end. An epoch
            starts with a line such as "Epoch 1/5".
        foreign: mean number of cores that other processes, or the host of a virtual machine, used.
        output: standard output and standard error.
    """

    seconds: float
    epochs: list[float]
    foreign: float
    output: str


class CommandError(Exception):
    """A command of the benchmark failed. The message has its output."""


def measure_command(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Sample:
    """Run a command to its end.

    Raises:
        CommandError: its exit status is not zero.
    """
    busy = _busy_seconds()
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
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    output = "".join(line for _, line in lines)
    if process.returncode:
        raise CommandError(f"{' '.join(command)} exited with {process.returncode}:\n{output}")
    own = usage.ru_utime + usage.ru_stime
    foreign = max(0.0, (_busy_seconds() - busy - own) / seconds)
    return Sample(seconds, epoch_seconds(lines), foreign, output)


def _timed_lines(process: "subprocess.Popen[str]") -> Iterator[tuple[float, str]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield time.perf_counter(), line


def epoch_seconds(lines: Sequence[tuple[float, str]]) -> list[float]:
    """Return the seconds of each epoch, see `Sample`."""
    starts = [moment for moment, line in lines if EPOCH_LINE.match(line)]
    return [after - before for before, after in pairwise(starts)]


def _busy_seconds() -> float:
    """Return the seconds since the machine started for which its cores were not idle."""
    times = psutil.cpu_times()
    waiting = getattr(times, "iowait", 0.0) + getattr(times, "guest", 0.0)
    idle = times.idle + waiting + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle)
