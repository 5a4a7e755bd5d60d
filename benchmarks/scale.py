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
import pandas as pd

from sentiment.data import synthetic
from sentiment.data.params import SyntheticParams
from workflow import commands, files, provenance
from workflow.files import STAGES
from workflow.params import PARAMS_FILE, load_params
from workflow.params_file import update_params_file

ROOT = Path(__file__).parents[1]
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
    params = {
        "fetch.dataset": "table",
        "fetch.table.train": TABLE,
        "fetch.table.test": TABLE,
        "fetch.table.positive": "1",
        "train.epochs": 1,
    }
    update_params_file(project / PARAMS_FILE, params)
    costs = {stage: run_stage(project, stage) for stage in STAGES}
    return Measurement(reviews, (project / TABLE).stat().st_size, costs)


def render_page(sizes: Sequence[Measurement]) -> str:
    """Render the page as Markdown."""
    machine = provenance.machine_tags()
    rows = []
    for stage in STAGES:
        row = {"stage": f"`{stage}`"}
        for size in sizes:
            name = f"{size.reviews:,} reviews, {size.size / 1e9:.2f} GB"
            cost = size.stages[stage]
            row[f"{name}: time"] = f"{cost.seconds:,.1f} s"
            row[f"{name}: memory"] = f"{cost.memory / 2**30:.2f} GiB"
        growth = sizes[-1].stages[stage].seconds / sizes[0].stages[stage].seconds
        row["time grows by"] = f"{growth:.1f}"
        rows.append(row)
    table = pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
    times = sizes[-1].reviews / sizes[0].reviews
    return (
        "# Large files\n\nWritten by `python -m benchmarks.scale`: a table of synthetic "
        f"reviews, {times:g} times as many in the second; `train` for one epoch. Memory is the "
        "maximum that the process had resident, including pages of mapped files. "
        f"{machine['processor.cores']} cores of an {machine['processor.name']}.\n\n{table}\n"
    )


@commands.command(__doc__)
@click.option(
    "--max-reviews",
    type=click.IntRange(min=SIZES[0], min_open=True),
    default=SIZES[1],
    show_default=True,
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
