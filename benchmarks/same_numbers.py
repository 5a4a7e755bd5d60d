"""Run the pipelines of two commits on this machine, and compare the numbers that they compute.

    python -m benchmarks.same_numbers 0c1447c

compares the arrays, the probabilities and the metrics of each epoch of that commit with those of
HEAD, for the default params and for the preset `linear`. The numbers differ between processors, so
none of them is in a test. Each commit is cloned and gets an environment of its own.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

COMPARED_METRICS = ["accuracy", "loss", "val_accuracy", "val_loss"]
PROBABILITY = "probability_positive"


def clone(commit: str, folder: Path) -> Path:
    """Clone a commit of this repository, and build its environment."""
    subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
    subprocess.run(["git", "checkout", "--quiet", "--detach", commit], cwd=folder, check=True)
    subprocess.run(["make", "environment"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def run_pipeline(project: Path, preset: str | None) -> None:
    """Run the pipeline of a clone with the default params or with a preset."""
    path = f"{project / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    if preset:
        command = ["sentiment", "preset", preset]
        subprocess.run(command, cwd=project, check=True, env=environment)
    subprocess.run(["dvc", "repro"], cwd=project, check=True, env=environment)


def differing_numbers(old: Path, new: Path) -> Iterator[str]:
    """Yield what differs between the results of two projects."""
    for path in sorted((new / "data/pad").glob("*.npy")):
        before = np.load(old / "data/pad" / path.name)
        after = np.load(path)
        if before.dtype != after.dtype or not np.array_equal(before, after):
            yield path.name
    if not np.array_equal(read_probabilities(old), read_probabilities(new)):
        yield "the probabilities"
    tables = [read_history(project)[COMPARED_METRICS] for project in (old, new)]
    if not tables[0].equals(tables[1]):
        yield "the metrics of the epochs"


def read_probabilities(project: Path) -> NDArray[np.float32]:
    """Read the probability that each test review is positive."""
    table = pd.read_csv(project / "data/evaluate/predictions.csv", dtype={PROBABILITY: "float32"})
    return table[PROBABILITY].to_numpy()


def read_history(project: Path) -> pd.DataFrame:
    """Read the metrics of each epoch."""
    return pd.read_csv(project / "metrics/history.csv")


@click.command(help=__doc__)
@click.argument("commit")
def main(commit: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        old = clone(commit, Path(scratch) / "old")
        new = clone("HEAD", Path(scratch) / "new")
        found = []
        for preset in (None, "linear"):
            for project in (old, new):
                run_pipeline(project, preset)
            title = preset or "default"
            found += [
                f"{title}: {difference} differs" for difference in differing_numbers(old, new)
            ]
            print(f"{title}: compared", flush=True)
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
