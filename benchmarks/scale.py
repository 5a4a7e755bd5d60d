"""`python -m benchmarks.scale`: time and memory of each stage by the number of reviews.

A clone of the last commit reads CSV files of synthetic reviews as tables, and trains for one epoch.
Writes `scale.md` next to this file. A million reviews take a quarter of an hour and 6 GB of disk.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from sentiment.data import synthetic
from sentiment.data.params import SyntheticParams
from tests.project import ROOT, change_params
from workflow import commands, files, provenance
from workflow.files import STAGES
from workflow.params import load_params

RESULTS = Path(__file__).with_name("scale.md")
SIZES = (25_000, 1_000_000)  # reviews, a fifth of which becomes the test set
# A million such reviews take 1.35 GB.
WORDS = {"min_length": 200, "max_length": 300, "vocab_size": 88_000}
TABLE = "reviews.csv"


class StageCost(NamedTuple):
    """The cost of a stage: wall-clock seconds, and its maximum resident memory in bytes."""

    seconds: float
    memory: int


class Measurement(NamedTuple):
    """The number of reviews, the size of their file in bytes, and the cost of each stage."""

    reviews: int
    size: int
    stages: dict[str, StageCost]


def write_table(path: Path, reviews: int, params: SyntheticParams) -> None:
    """Write a table of `reviews` synthetic reviews."""
    rng = np.random.default_rng(params.seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for words, label in synthetic.generate_reviews(reviews, params, rng):
            writer.writerow([" ".join(words), label])


def run_stage(project: Path, stage: str) -> StageCost:
    """Run a stage in a project, and return its cost."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", f"stages.{stage}"], cwd=project)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, stage)
    unit = 1 if sys.platform == "darwin" else 1024
    return StageCost(time.perf_counter() - start, usage.ru_maxrss * unit)


def measure_stages(reviews: int, folder: Path) -> Measurement:
    """Measure the cost of each stage with `reviews` reviews, in an empty folder."""
    project = folder / "project"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    generator = load_params().fetch.synthetic.model_copy(update=WORDS)
    write_table(project / TABLE, reviews, generator)
    table = {"train": TABLE, "test": TABLE, "positive": "1"}
    changes = {"fetch": {"dataset": "table", "table": table}, "train": {"epochs": 1}}
    change_params(project / "params.yaml", changes)
    costs = {stage: run_stage(project, stage) for stage in STAGES}
    return Measurement(reviews, (project / TABLE).stat().st_size, costs)


def render_page(sizes: Sequence[Measurement]) -> str:
    """Render the page as Markdown."""
    machine = provenance.machine_tags()
    names = [f"{size.reviews:,} reviews, {size.size / 1e9:.2f} GB" for size in sizes]
    head = ["stage", *(f"{name}: {what}" for name in names for what in ("time", "memory"))]
    lines = [f"| {' | '.join(head)} | time grows by |", "| --- " * (len(head) + 1) + "|"]
    for stage in STAGES:
        costs = [size.stages[stage] for size in sizes]
        cells = [f"{cost.seconds:,.1f} s | {cost.memory / 2**30:.2f} GiB" for cost in costs]
        growth = costs[-1].seconds / costs[0].seconds
        lines.append(f"| `{stage}` | {' | '.join(cells)} | {growth:.1f} |")
    times = sizes[-1].reviews / sizes[0].reviews
    text = (
        "# Large files\n\nWritten by `python -m benchmarks.scale`: a table of synthetic "
        f"reviews, {times:g} times as many in the second; `train` for one epoch. Memory is the "
        "maximum that the process had resident, including pages of mapped files. "
        f"{machine['processor.cores']} cores of an {machine['processor.name']}.\n\n"
    )
    return "\n".join([text + lines[0], *lines[1:], ""])


@commands.command(__doc__)
@click.option(
    "--max-reviews", type=click.IntRange(min=SIZES[0]), default=SIZES[1], show_default=True
)
def main(max_reviews: int) -> None:
    sizes = []
    for reviews in (SIZES[0], max_reviews):
        with tempfile.TemporaryDirectory() as folder:
            sizes.append(measure_stages(reviews, Path(folder)))
    files.write_text_atomically(RESULTS, render_page(sizes))
    print(render_page(sizes))


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.scale", main)
