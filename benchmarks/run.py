"""`make bench`: measure the speeds that README.md and docs/performance.md show.

The compared programs take turns, A B A B, each in a process of its own. The networks take turns in
one process. The last commit is measured, in clones of the repository. Writes `results.csv` and
`results.md` next to this file.
"""

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import click
import psutil

from benchmarks import measure, report
from benchmarks.measure import CommandError, Sample
from benchmarks.networks import NETWORKS
from sentiment.errors import UserError
from workflow import commands

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
TORCH = ROOT / ".bench" / "bin" / "python"
TURNS = click.IntRange(min=1)
PACKAGES = ("tensorflow", "keras", "mlflow", "dvc", "numpy")


class Bench:
    """A scratch folder in which commands are run, and their measurements."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.series: dict[str, list[float]] = defaultdict(list)
        self.environment = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))
        } | {"TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(self, series: str, folder: Path, *command: str) -> Sample:
        """Run a command, add its seconds to a series, and print them."""
        sample = measure.measure_command(command, folder, self.environment)
        self.series[series].append(sample.seconds)
        print(f"{series:24} {sample.seconds:8.2f} s")
        return sample

    def clone(self, name: str) -> Path:
        """Clone the repository into the scratch folder."""
        command = ["git", "clone", "--quiet", str(ROOT), name]
        subprocess.run(command, cwd=self.scratch, check=True)
        return self.scratch / name

    def folder(self, name: str) -> Path:
        """Create an empty folder in the scratch folder."""
        (self.scratch / name).mkdir()
        return self.scratch / name


def measure_complete_runs(bench: Bench, rounds: int) -> Path:
    """Run the pipeline, the notebook, the notebook with autologging and PyTorch in turn.

    Returns:
        A clone in which the pipeline ran.
    """
    notebook = str(HERE / "notebook.py")
    for turn in range(rounds):
        clone = bench.clone(f"clone-{turn}")
        first, *rest = bench.run("repro", clone, "dvc", "repro").epochs
        bench.series["epoch, ours"] += rest
        bench.series["first epoch, compilation"].append(first - statistics.median(rest))
        plain = bench.run("notebook", bench.folder(f"plain-{turn}"), sys.executable, notebook)
        bench.series["epoch, notebook"] += plain.epochs[1:]
        folder = bench.folder(f"autolog-{turn}")
        bench.run("notebook, autolog", folder, sys.executable, notebook, "--autolog")
        torch = bench.run("PyTorch", clone, str(TORCH), str(HERE / "pytorch.py"), "data/pad")
        bench.series["epoch, PyTorch"] += torch.epochs[1:]
    return clone


def measure_one_review(bench: Bench, clone: Path) -> None:
    """Measure the milliseconds from the text of a review to its probability."""
    module = ["-m", "benchmarks.one_review", "500"]
    output = bench.run("one review, process", clone, sys.executable, *module).output
    bench.series["one review"] += map(float, re.findall(r"^[\d.]+$", output, re.MULTILINE))


def measure_networks(bench: Bench, clone: Path, pairs: int) -> None:
    """Measure an epoch of each network, by the fast path and by stock Keras."""
    module = ["-m", "benchmarks.networks", "--rounds", str(pairs)]
    for name, seconds in parse_networks(bench.run("networks", clone, sys.executable, *module)):
        bench.series[name] += seconds


def parse_networks(sample: Sample) -> Iterator[tuple[str, list[float]]]:
    """Yield the series in the output of `benchmarks.networks`, each with its samples."""
    for line in sample.output.splitlines():
        name, *rest = line.split("\t")
        if name not in NETWORKS:
            continue
        kind = rest[0]
        first, *later = map(float, rest[1:])
        yield f"{name}, {kind}", later
        if kind == "ours":
            yield f"{name}, compilation", [first - statistics.median(later)]


def output_of(*command: str) -> str:
    """Return the output of a command, or "" if there is no such command."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def describe_machine() -> str:
    """Describe the commit, the machine and the versions."""
    model = re.search(r"Model name:\s*(.+)", output_of("lscpu"))
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    torch_version = output_of(str(TORCH), "-c", "import torch; print(torch.__version__)")
    versions.append(f"PyTorch {torch_version}")
    return f"""\
- {datetime.now():%Y-%m-%d}, commit {output_of("git", "rev-parse", "--short", "HEAD")}
- {model[1] if model else platform.processor()}, {psutil.cpu_count()} cores, \
{psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}
- Python {platform.python_version()}, {", ".join(versions)}"""


def write_page(bench: Bench) -> None:
    """Write the page and print the table."""
    table = report.render_series(bench.series)
    text = (
        f"# Results of `make bench`\n\n{describe_machine()}\n\n"
        f"Seconds, except for `one review`: milliseconds.\n\n{table}\n"
    )
    (HERE / "results.md").write_text(text, encoding="utf-8")
    print(f"\n{table}")


@commands.command(__doc__)
@commands.option(
    "--rounds", envvar="ROUNDS", type=TURNS, default=3, help="Turns of the complete runs."
)
@commands.option("--pairs", envvar="PAIRS", type=TURNS, default=5, help="Turns of the networks.")
def main(rounds: int, pairs: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        try:
            clone = measure_complete_runs(bench, rounds)
            measure_one_review(bench, clone)
            measure_networks(bench, clone, pairs)
        except CommandError as failure:
            raise UserError(str(failure)) from None
        finally:
            report.write_csv(HERE / "results.csv", bench.series)
        write_page(bench)


if __name__ == "__main__":
    commands.run_command("make bench", main)
