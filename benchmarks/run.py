"""`make bench`: measure everything in one run and compare it with the goals.

What is compared takes turns, A B A B, each in a process of its own, but for the kinds of networks:
those take turns in one process. Writes `results.csv` and
`results.md` beside this file. What is measured is the last commit, in clones of the repository.
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
import numpy as np
import psutil

from benchmarks import measure, report
from benchmarks.limit import epoch_flops
from benchmarks.measure import Failed, Sample
from benchmarks.networks import NETWORKS
from benchmarks.report import Goal
from sentiment.errors import UserError
from workflow import commands
from workflow.params import load_params

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
TORCH = ROOT / ".bench" / "bin" / "python"
TURNS = click.IntRange(min=1)
QUIET = 0.15  # foreign cores above which a sample is not to be trusted
PACKAGES = ("tensorflow", "keras", "mlflow", "dvc", "numpy")


def goals_of(network: str) -> Iterator[Goal]:
    """The goals of a kind of network."""
    ours = f"{network}, ours"
    yield Goal(f"{network}: stock Keras / ours", f"{network}, stock", ours, True, 1.8)
    yield Goal(f"{network}: ours / limit by sgemm", ours, f"{network}, limit", False, 2)
    yield Goal(f"{network}: first epoch's extra", f"{network}, extra", None, False, 3, "s")


GOALS = [
    Goal("training, an epoch: stock Keras / ours", "epoch, notebook", "epoch, ours", True, 1.8),
    Goal("training, an epoch: PyTorch / ours", "epoch, PyTorch", "epoch, ours", True, 1.25),
    Goal("training, an epoch: ours / limit by sgemm", "epoch, ours", "epoch, limit", False, 1.6),
    Goal("`dvc repro` from empty data / notebook", "repro", "notebook", False, 0.55),
    Goal("the same / notebook with autologging", "repro", "notebook, autolog", False, 0.6),
    Goal("first epoch's extra", "first epoch, extra", None, False, 3, "s"),
    Goal("`dvc repro`, nothing to do / `dvc status`, empty", "no-op", "empty status", False, 1.2),
    Goal("fetch + pad from the cache", "fetch + pad", None, False, 6, "s"),
    Goal("the same, peak memory", "fetch + pad, memory", None, False, 1024, "MiB"),
    Goal(
        "`train` with MLflow, import aside / without", "train, no import", "untracked", False, 1.05
    ),
    Goal("evaluate, complete process", "evaluate", None, False, 10, "s"),
    Goal("one review to a probability, p50", "one review", None, False, 2, "ms"),
    Goal("growth: an epoch at 2 × reviews", "epoch, 2 x reviews", "epoch, 1 x", False, 2.1),
    Goal("growth: an epoch at 2 × length", "epoch, 2 x length", "epoch, 1 x", False, 2.1),
    Goal("growth: an epoch at 2 × units", "epoch, 2 x units", "epoch, 1 x", False, 4),
    *(goal for name in NETWORKS for goal in goals_of(name)),
]


class Bench:
    """Runs commands in a scratch folder and gathers what they took."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.series: dict[str, list[float]] = defaultdict(list)
        self.foreign: list[float] = []
        self.environment = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))
        } | {"TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(self, series: str, folder: Path, *command: str) -> Sample:
        """Run a command and add its seconds to a series; warn of other load."""
        sample = measure.run(command, folder, self.environment)
        self.series[series].append(sample.seconds)
        self.foreign.append(sample.foreign)
        print(f"{series:24} {sample.seconds:8.2f} s", end="")
        print(f"   others used {sample.foreign:.2f} cores" if sample.foreign > QUIET else "")
        return sample

    def clone(self, name: str) -> Path:
        """A fresh clone of the repository in the scratch folder."""
        command = ["git", "clone", "--quiet", str(ROOT), name]
        subprocess.run(command, cwd=self.scratch, check=True)
        return self.scratch / name

    def folder(self, name: str) -> Path:
        """An empty folder of that name in the scratch folder."""
        (self.scratch / name).mkdir()
        return self.scratch / name


def complete_runs(bench: Bench, rounds: int) -> Path:
    """The pipeline, the notebook, the notebook with autologging, PyTorch, the limit, in turn."""
    notebook = str(HERE / "notebook.py")
    for turn in range(rounds):
        clone = bench.clone(f"clone-{turn}")
        first, *rest = bench.run("repro", clone, "dvc", "repro").epochs
        bench.series["epoch, ours"] += rest
        bench.series["first epoch, extra"].append(first - statistics.median(rest))
        plain = bench.run("notebook", bench.folder(f"plain-{turn}"), sys.executable, notebook)
        bench.series["epoch, notebook"] += plain.epochs[1:]
        folder = bench.folder(f"autolog-{turn}")
        bench.run("notebook, autolog", folder, sys.executable, notebook, "--autolog")
        torch = bench.run("PyTorch", clone, str(TORCH), str(HERE / "pytorch.py"), "data/pad")
        bench.series["epoch, PyTorch"] += torch.epochs[1:]
        sgemm_limit(bench, clone)
    return clone


def sgemm_limit(bench: Bench, clone: Path) -> None:
    """The least seconds an epoch could take: its multiplications at this machine's sgemm rate."""
    params = load_params(clone / "params.yaml").train
    reviews, length = np.load(clone / "data" / "pad" / "x_train.npy", mmap_mode="r").shape
    learning = int(reviews * (1 - params.validation_split))
    flops = epoch_flops(params, learning, reviews - learning, length)
    printed = bench.run("limit", clone, sys.executable, "-m", "benchmarks.limit")
    rate = float(printed.output.split()[-2])
    bench.series["sgemm, GFLOP/s"].append(rate)
    bench.series["epoch, limit"].append(flops / rate / 1e9)


def stages_alone(bench: Bench, clone: Path, pairs: int) -> None:
    """Each stage as a process of its own, and training with and without its MLflow run."""
    for _ in range(pairs):
        alone = {stage: _stage(bench, clone, stage) for stage in ("fetch", "pad", "evaluate")}
        both = alone["fetch"], alone["pad"]
        bench.series["fetch + pad"].append(sum(sample.seconds for sample in both))
        bench.series["fetch + pad, memory"].append(max(sample.peak_mib for sample in both))
        tracked = _stage(bench, clone, "train")
        bench.run("untracked", clone, sys.executable, "-m", "benchmarks.untracked")
        code = "import time; t = time.perf_counter(); import mlflow; print(time.perf_counter() - t)"
        printed = bench.run("import mlflow, process", clone, sys.executable, "-c", code).output
        bench.series["import mlflow"].append(float(printed.split()[-1]))
        bench.series["train, no import"].append(tracked.seconds - float(printed.split()[-1]))


def _stage(bench: Bench, clone: Path, stage: str) -> Sample:
    sample = bench.run(stage, clone, sys.executable, "-m", f"stages.{stage}")
    bench.series[f"{stage}, memory"].append(sample.peak_mib)
    return sample


def nothing_to_do(bench: Bench, clone: Path, pairs: int) -> None:
    """`dvc repro` where all is up to date, and `dvc status` where there is nothing at all."""
    empty = bench.folder("empty")
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=empty, check=True, env=bench.environment)
    (empty / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    subprocess.run(["dvc", "repro", "--quiet"], cwd=clone, check=True, env=bench.environment)
    for _ in range(pairs):
        bench.run("no-op", clone, "dvc", "repro")
        bench.run("empty status", empty, "dvc", "status")


def small_things(bench: Bench, clone: Path, pairs: int) -> None:
    """One review, and how an epoch grows with the reviews, their length and the units."""
    module = [sys.executable, "-m"]
    one = bench.run("one review, process", clone, *module, "benchmarks.one_review", "500")
    bench.series["one review"] += map(float, re.findall(r"^[\d.]+$", one.output, re.MULTILINE))
    grown = bench.run("growth", clone, *module, "benchmarks.growth", str(pairs))
    for doubled, seconds in re.findall(r"^(\w+)\t([\d.]+)$", grown.output, re.MULTILINE):
        name = "epoch, 1 x" if doubled == "nothing" else f"epoch, 2 x {doubled}"
        bench.series[name].append(float(seconds))


def networks(bench: Bench, clone: Path, pairs: int) -> None:
    """An epoch of each kind of network, by the fast path and by stock Keras, and its limit."""
    command = [sys.executable, "-m", "benchmarks.networks", "--rounds", str(pairs)]
    for name, seconds in of_networks(bench.run("networks", clone, *command).output):
        bench.series[name] += seconds


def of_networks(output: str) -> Iterator[tuple[str, list[float]]]:
    """The series in what `benchmarks.networks` printed, each with its samples."""
    for line in output.splitlines():
        name, *rest = line.split("\t")
        if name not in NETWORKS:
            continue
        kind, seconds = rest[0], list(map(float, rest[1:]))
        if kind == "limit":
            yield f"{name}, limit", seconds
            continue
        yield f"{name}, {kind}", seconds[1:]
        extra = "extra" if kind == "ours" else "stock, extra"
        yield f"{name}, {extra}", [seconds[0] - statistics.median(seconds[1:])]


def printed(*command: str) -> str:
    """What a command prints, or nothing where there is no such command."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def machine(bench: Bench) -> str:
    """What the results depend on: commit, processor, versions, and other load."""
    model = re.search(r"Model name:\s*(.+)", printed("lscpu"))
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    versions.append(
        f"PyTorch {printed(str(TORCH), '-c', 'import torch; print(torch.__version__)')}"
    )
    noisy = sum(foreign > QUIET for foreign in bench.foreign)
    return f"""\
- {datetime.now():%Y-%m-%d}, commit {printed("git", "rev-parse", "--short", "HEAD")}
- {model[1] if model else platform.processor()}, {psutil.cpu_count()} cores, \
{psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}
- Python {platform.python_version()}, {", ".join(versions)}
- other processes used {statistics.median(bench.foreign):.2f} cores (median), more than {QUIET} \
during {noisy} of the {len(bench.foreign)} processes measured"""


def write(bench: Bench) -> None:
    """Write the page and print the table."""
    goals = report.goals_table(GOALS, bench.series)
    text = f"# Results of `make bench`\n\n{machine(bench)}\n\n{goals}\n\n## Everything measured\n\n"
    text += (
        f"Seconds, where no unit is named; memory in MiB.\n\n{report.series_table(bench.series)}\n"
    )
    (HERE / "results.md").write_text(text, encoding="utf-8")
    print(f"\n{goals}")


@commands.command(__doc__)
@commands.option(
    "--rounds", envvar="ROUNDS", type=TURNS, default=3, help="Turns of the slow parts."
)
@commands.option("--pairs", envvar="PAIRS", type=TURNS, default=5, help="Turns of all else.")
def main(rounds: int, pairs: int) -> None:
    others = psutil.cpu_percent(interval=3) / 100 * (psutil.cpu_count() or 1)
    if others > QUIET:
        print(f"Other processes are using {others:.1f} cores: do not rely on the results.")
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        try:
            clone = complete_runs(bench, rounds)
            nothing_to_do(bench, clone, pairs)
            stages_alone(bench, clone, pairs)
            small_things(bench, clone, pairs)
            networks(bench, clone, pairs)
        except Failed as failure:
            raise UserError(str(failure)) from None
        finally:
            report.write_csv(HERE / "results.csv", bench.series)
        write(bench)


if __name__ == "__main__":
    commands.run_command("make bench", main)
