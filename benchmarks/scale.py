"""`python -m benchmarks.scale`: time and memory of each stage by the number of reviews.

The generator writes CSV files of so many reviews; a clone of the last commit reads each as a table
and trains one epoch on it. Writes `scale.md` beside this file. A million reviews take a quarter of
an hour and 6 GB of disk.
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
SIZES = (25_000, 1_000_000)  # reviews in all, of which a fifth is set aside
# a review's words, 1.35 GB in a million reviews, and how many distinct ones there are
WORDS = {"min_length": 200, "max_length": 300, "vocab_size": 88_000}
TABLE = "reviews.csv"


class Taken(NamedTuple):
    """What a stage took: wall-clock seconds, and the most memory that it had, bytes."""

    seconds: float
    memory: int


class Size(NamedTuple):
    """The reviews, the bytes of their file, and what each stage took."""

    reviews: int
    size: int
    stages: dict[str, Taken]


def write_table(path: Path, reviews: int, params: SyntheticParams) -> None:
    """Write so many reviews of the generator as a table."""
    rng = np.random.default_rng(params.seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for words, label in synthetic.generate_reviews(reviews, params, rng):
            writer.writerow([" ".join(words), label])


def run(project: Path, stage: str) -> Taken:
    """Run a stage in a project; its memory is the process's largest resident set."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", f"stages.{stage}"], cwd=project)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, stage)
    unit = 1 if sys.platform == "darwin" else 1024
    return Taken(time.perf_counter() - begun, usage.ru_maxrss * unit)


def measure(reviews: int, folder: Path) -> Size:
    """What each stage takes with so many reviews, in an empty folder."""
    project = folder / "project"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    generator = load_params().fetch.synthetic.model_copy(update=WORDS)
    write_table(project / TABLE, reviews, generator)
    table = {"train": TABLE, "test": TABLE, "positive": "1"}
    changes = {"fetch": {"dataset": "table", "table": table}, "train": {"epochs": 1}}
    change_params(project / "params.yaml", changes)
    taken = {stage: run(project, stage) for stage in STAGES}
    return Size(reviews, (project / TABLE).stat().st_size, taken)


def page(sizes: Sequence[Size]) -> str:
    """The page, as Markdown."""
    here = provenance.machine_tags()
    names = [f"{size.reviews:,} reviews, {size.size / 1e9:.2f} GB" for size in sizes]
    head = ["stage", *(f"{name}: {what}" for name in names for what in ("time", "memory"))]
    lines = [f"| {' | '.join(head)} | time grows by |", "| --- " * (len(head) + 1) + "|"]
    for stage in STAGES:
        taken = [size.stages[stage] for size in sizes]
        cells = [f"{t.seconds:,.1f} s | {t.memory / 2**30:.2f} GiB" for t in taken]
        growth = taken[-1].seconds / taken[0].seconds
        lines.append(f"| `{stage}` | {' | '.join(cells)} | {growth:.1f} |")
    times = sizes[-1].reviews / sizes[0].reviews
    text = (
        "# Large files\n\nWritten by `python -m benchmarks.scale`: a table of the generator's "
        f"reviews, {times:g} times as many in the second; `train` for one epoch. Memory is the "
        "most that the process had resident, the pages of mapped files among it. "
        f"{here['processor.cores']} cores of an {here['processor.name']}.\n\n"
    )
    return "\n".join([text + lines[0], *lines[1:], ""])


@commands.command(__doc__)
@click.option("--largest", type=click.IntRange(min=SIZES[0]), default=SIZES[1], show_default=True)
def main(largest: int) -> None:
    sizes = []
    for reviews in (SIZES[0], largest):
        with tempfile.TemporaryDirectory() as folder:
            sizes.append(measure(reviews, Path(folder)))
    files.write_text_atomically(RESULTS, page(sizes))
    print(page(sizes))


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.scale", main)
