"""Run a recorded training again in a clone, and compare the results.

The clone has a store and a cache of its own, and is removed. Nothing of the project changes.
"""

import io
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from sentiment.errors import UserError
from sentiment.network.training import EPOCH_METRICS
from sentiment.prediction.labels import PREFIX
from workflow import files
from workflow.dvc_process import dvc_environment
from workflow.files import FETCH
from workflow.presets import merge
from workflow.provenance import COMMIT, PROCESSOR, THREADS, XLA, machine_tags
from workflow.record import Record

STAGES = ("fetch", "pad", "train", "evaluate")
PROJECT_CACHE = "project-cache"  # a remote of the clone


class PredictionComparison(NamedTuple):
    """The predictions of a run, and those of the same training now.

    Attributes:
        accuracy_then: the test accuracy of the run.
        accuracy_now: the test accuracy now.
        difference: the greatest difference of a probability. NaN: the tables have other rows.
    """

    accuracy_then: float
    accuracy_now: float
    difference: float


class Comparison(NamedTuple):
    """The results of a run, and those of the same training now.

    Attributes:
        equal: whether each result is the same to the bit, by its name.
        machine: what differs of the machine and the packages: the values then and now, by name.
        predictions: how far the predictions are apart.
    """

    equal: dict[str, bool]
    machine: dict[str, tuple[str, str]]
    predictions: PredictionComparison

    @property
    def is_equal(self) -> bool:
        """Whether all results are the same."""
        return all(self.equal.values())


def reproduce(record: Record, clone: Path) -> Comparison:
    """Run the training of a run again in a new folder, evaluate it, and compare the results.

    Raises:
        UserError: the data cannot be had, or a stage failed.
    """
    make_clone(record, clone)
    has_data = pull_data(record, clone)
    if not has_data:
        copy_tables(record, clone)
    for stage in STAGES[1:] if has_data else STAGES:
        run_stage(stage, clone)
    return compare(record, clone)


def make_clone(record: Record, clone: Path) -> None:
    """Clone the project at the commit of a run, with its uncommitted changes and its params."""
    # --shared: the commit of an experiment may not be on any branch.
    run_git(Path(), "clone", "--quiet", "--shared", "--no-checkout", ".", str(clone.absolute()))
    run_git(clone, "checkout", "--quiet", "--detach", record.tags[COMMIT])
    if record.diff:
        run_git(clone, "apply", "--whitespace=nowarn", "-", text=record.diff)
    yaml = YAML()
    params = clone / "params.yaml"
    document = yaml.load(params.read_text(encoding="utf-8"))
    yaml.dump(merge(document, record.params), params)
    yaml.dump(record.lock, clone / files.DVC_LOCK)
    own_config = Path(".dvc", "config.local")  # may have the password of a remote
    if own_config.exists():
        shutil.copy(own_config, clone / own_config)


def pull_data(record: Record, clone: Path) -> bool:
    """Get `data/fetch` of a run from DVC, and return whether it is there now."""
    # The project's cache is a remote of the clone, which therefore writes nothing there.
    cache = Path(dvc(Path(), "cache", "dir").stdout.strip()).absolute()
    dvc(clone, "cache", "dir", "--local", str((clone / ".dvc" / "cache").absolute()))
    dvc(clone, "remote", "add", "--local", "--force", PROJECT_CACHE, str(cache))
    return pull(clone, FETCH) and digest(clone / FETCH) == locked_outs(record)[str(FETCH)]


def pull(clone: Path, target: Path) -> bool:
    """Get a file or a folder from the project's cache or a remote, and return whether it worked."""
    for remote in (("--remote", PROJECT_CACHE), ()):
        if dvc(clone, "pull", *remote, str(target)).returncode == 0:
            return True
    return False


def copy_tables(record: Record, clone: Path) -> None:
    """Get the tables of a run, from the clone's commit, the project's folder or DVC.

    Raises:
        UserError: one cannot be had.
    """
    dependencies = record.lock["stages"]["fetch"]["deps"]
    digests = {dependency["path"]: dependency["md5"] for dependency in dependencies}
    fetch = record.params["fetch"]
    for name in {fetch["table"]["train"], fetch["table"]["test"], fetch["added_texts"]}:
        target = clone / name
        if not is_table(target, digests[name]) and is_table(Path(name), digests[name]):
            copy = shutil.copytree if Path(name).is_dir() else shutil.copyfile
            copy(name, target)
        if not is_table(target, digests[name]):
            pull(clone, Path(f"{name}.dvc"))
        if not is_table(target, digests[name]):
            raise UserError(
                f"Run {record.run_id} cannot be run again: neither this folder nor DVC has "
                f"{FETCH} or {name} as they were, with the MD5 digest {digests[name]}."
            )


def is_table(path: Path, expected: str) -> bool:
    """Return whether there is a table, or a folder of tables, with a digest."""
    return path.exists() and digest(path) == expected


def run_stage(name: str, clone: Path) -> None:
    """Run a stage in a clone, with the clone's code and this environment's packages.

    Raises:
        UserError: it failed.
    """
    print(f"> python -m stages {name}", flush=True)
    kept = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(("DVC_", "MLFLOW_", "PYTHONPATH"))
    }
    command = [sys.executable, "-m", "stages", name]
    if subprocess.run(command, cwd=clone, env=kept, check=False).returncode:
        raise UserError(f"The stage {name} failed in a clone of the run, see above.")


def compare(record: Record, clone: Path) -> Comparison:
    """Compare the results of a run with those in a clone."""
    outs = locked_outs(record)
    equal = {path: is_table(clone / path, expected) for path, expected in outs.items()}
    history = pd.read_csv(clone / files.HISTORY_FILE)[list(EPOCH_METRICS)]
    equal["metrics of each epoch"] = np.array_equal(history.to_numpy(), record.epochs.to_numpy())
    predictions = (clone / files.PREDICTIONS_FILE).read_bytes()
    equal[str(files.PREDICTIONS_FILE)] = predictions == record.predictions
    now = machine_tags()
    then = {name: record.tags.get(name, "unknown") for name in now}
    return Comparison(
        equal=equal,
        machine={name: (then[name], now[name]) for name in now if then[name] != now[name]},
        predictions=compare_predictions(record.predictions, predictions),
    )


def compare_predictions(then: bytes, now: bytes) -> PredictionComparison:
    """Compare two contents of `predictions.csv`."""
    tables = [pd.read_csv(io.BytesIO(content), keep_default_na=False) for content in (then, now)]
    accuracies = [float((table["actual"] == table["predicted"]).mean()) for table in tables]
    probabilities = [table.filter(regex=f"^{PREFIX}").to_numpy() for table in tables]
    same_shape = probabilities[0].shape == probabilities[1].shape
    difference = np.abs(probabilities[0] - probabilities[1]).max() if same_shape else math.nan
    return PredictionComparison(accuracies[0], accuracies[1], float(difference))


def locked_outs(record: Record) -> dict[str, str]:
    """Return the digest of each output in a run's dvc.lock, by its path."""
    stages = record.lock["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def digest(path: Path) -> str:
    """Return the MD5 digest of a file or of a folder, as dvc.lock has it."""
    if path.is_file():
        return files.md5(path)
    entries = [
        {"md5": files.md5(each), "relpath": each.relative_to(path).as_posix()}
        for each in path.rglob("*")
        if each.is_file()
    ]
    return files.folder_digest(entries)


def describe(record: Record, comparison: Comparison) -> str:
    """Return a table of what is equal and what differs, and what follows."""
    lines = [f"Run {record.run_id}: {record.name}, commit {record.tags[COMMIT]}"]
    lines += [
        f"  {name:30} {'equal' if is_equal else 'DIFFERS'}"
        for name, is_equal in comparison.equal.items()
    ]
    lines += [
        f"  {name}: {then} then, {now} now" for name, (then, now) in comparison.machine.items()
    ]
    if comparison.is_equal:
        return "\n".join([*lines, "All results are the same, bit for bit."])
    then, now, difference = comparison.predictions
    lines.append(
        f"Test accuracy {then:.4f} then, {now:.4f} now. The probabilities differ by at most "
        f"{difference:.2g}."
    )
    if not {PROCESSOR, THREADS, XLA}.isdisjoint(comparison.machine):
        lines.append(
            "This is expected: another processor, other threads or flags of XLA may add numbers in "
            "another order."
        )
    return "\n".join(lines)


def dvc(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a DVC command, whose output is not shown."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=dvc_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def run_git(folder: Path, *arguments: str, text: str | None = None) -> None:
    """Run a git command.

    Raises:
        UserError: it failed.
    """
    command = ["git", *arguments]
    done = subprocess.run(
        command, cwd=folder, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")
