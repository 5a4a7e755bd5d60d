"""Run a recorded training again in a clone, and compare the results.

The clone has a store and a cache of its own, and is removed. Nothing of the project changes.
"""

import io
import math
import os
import re
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
from tracking.record import RecordedRun
from tracking.runs import TRAINING_KEY
from workflow import files
from workflow.commands import run_dvc_in, run_git_in
from workflow.files import FETCH_FOLDER, PAD_FOLDER, TRAIN_FOLDER
from workflow.own_table import find_pointer
from workflow.params_file import merge_params
from workflow.provenance import COMMIT, PROCESSOR, THREADS, XLA, machine_tags
from workflow.stage import STAGES

DVC_CONFIG = Path(".dvc", "config")
LOCAL_DVC_CONFIG = Path(".dvc", "config.local")
PROJECT_CACHE = "project-cache"  # a remote of the clone
REMOTE_URL = r"^remote\.(.+)\.url=(.+)$"  # in the output of `dvc config --list`


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
        machine: what differs of the machine and the packages, as far as the run has them: the
            values then and now, by name.
        predictions: how far the predictions are apart.
    """

    equal: dict[str, bool]
    machine: dict[str, tuple[str, str]]
    predictions: PredictionComparison

    @property
    def is_equal(self) -> bool:
        """The results are all the same."""
        return all(self.equal.values())


def reproduce_run(record: RecordedRun, clone: Path) -> Comparison:
    """Run the training of a run again in a new folder, evaluate it, and compare the results.

    Raises:
        UserError: the code or the data cannot be had, or a stage failed.
    """
    make_clone(record, clone)
    write_dvc_config(clone)
    has_data = pull_data(record, clone)
    if not has_data:
        copy_tables(record, clone)
    (clone / LOCAL_DVC_CONFIG).unlink()  # it may have the password of a remote
    for stage in STAGES[1:] if has_data else STAGES:
        run_stage_in(clone, stage)
    set_training_key(clone, record.tags[TRAINING_KEY])
    return compare(record, clone)


def make_clone(record: RecordedRun, clone: Path) -> None:
    """Clone the project at the commit of a run, with its uncommitted changes and its params.

    Raises:
        UserError: the changes cannot be applied, or the commit has other stages.
    """
    # --shared: the commit of an experiment may not be on any branch.
    run_git_in(Path(), "clone", "--quiet", "--shared", "--no-checkout", ".", str(clone.absolute()))
    run_git_in(clone, "checkout", "--quiet", "--detach", record.tags[COMMIT])
    if record.diff:
        run_git_in(clone, "apply", "--whitespace=nowarn", "-", text=record.diff)
    if not (clone / "stages" / "__main__.py").is_file():
        raise UserError(
            f"Run {record.run_id} cannot be run again: its commit {record.tags[COMMIT]} is of a "
            "release before 3.0, whose stages were started otherwise."
        )
    yaml = YAML()
    params = clone / "params.yaml"
    document = yaml.load(params.read_text(encoding="utf-8"))
    yaml.dump(merge_params(document, record.params), params)
    yaml.dump(record.lock, clone / files.DVC_LOCK)


def write_dvc_config(clone: Path) -> None:
    """Let DVC find the project's cache and remotes from a clone, and write into neither."""
    for config in (DVC_CONFIG, LOCAL_DVC_CONFIG):  # those of today, since remotes may have moved
        if config.exists():
            shutil.copy(config, clone / config)
    cache = Path(configure_dvc(Path(), "cache", "dir").strip()).absolute()
    configure_dvc(clone, "cache", "dir", "--local", str((clone / ".dvc" / "cache").absolute()))
    configure_dvc(clone, "remote", "add", "--local", "--force", PROJECT_CACHE, str(cache))
    # DVC lists the paths of folders as absolute ones.
    listed = configure_dvc(Path(), "config", "--list")
    for name, url in re.findall(REMOTE_URL, listed, re.MULTILINE):
        if "://" not in url:
            configure_dvc(clone, "remote", "modify", "--local", name, "url", url)


def configure_dvc(folder: Path, *arguments: str) -> str:
    """Run a DVC command about its configuration, and return its output.

    Raises:
        UserError: it failed.
    """
    done = run_dvc_in(folder, *arguments)
    if done.returncode:
        raise UserError(f"dvc {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
    return done.stdout


def pull_data(record: RecordedRun, clone: Path) -> bool:
    """Get `data/fetch` of a run from DVC, and return whether it is there now."""
    return pull(clone, FETCH_FOLDER) and has_digest(
        clone / FETCH_FOLDER, locked_outs(record)[str(FETCH_FOLDER)]
    )


def pull(clone: Path, target: Path) -> bool:
    """Get a file or a folder from the project's cache or a remote, and return whether it worked."""
    for remote in (("--remote", PROJECT_CACHE), ()):
        if run_dvc_in(clone, "pull", *remote, str(target)).returncode == 0:
            return True
    return False


def copy_tables(record: RecordedRun, clone: Path) -> None:
    """Get the tables of a run, from the clone's commit, the project's folder or DVC.

    Raises:
        UserError: one cannot be had.
    """
    dependencies = record.lock["stages"]["fetch"]["deps"]
    fetch = record.params["fetch"]
    for dependency in dependencies:
        name = dependency["path"]
        target = clone / name
        is_read = fetch["dataset"] == "table" or name == fetch["added_texts"]
        if not is_read or has_digest(target, dependency["md5"]):
            continue
        source = Path(name)
        is_inside = target.resolve().is_relative_to(clone.resolve())
        pointer = find_pointer(source)
        if is_inside and has_digest(source, dependency["md5"]):
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)
        elif is_inside and pointer is not None:
            pull(clone, pointer)
        if not has_digest(target, dependency["md5"]):
            raise UserError(
                f"Run {record.run_id} cannot be run again: neither this folder nor DVC has "
                f"{FETCH_FOLDER} or {name} as they were, with the MD5 digest {dependency['md5']}."
            )


def has_digest(path: Path, expected: str) -> bool:
    """Return whether there is a file or a folder with a digest."""
    return path.exists() and path_digest(path) == expected


def run_stage_in(clone: Path, name: str) -> None:
    """Run a stage in a clone, with the clone's code and this environment's packages.

    Raises:
        UserError: it failed.
    """
    print(f"In a clone of the run: python -m stages {name}", flush=True)
    environment = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(("DVC_", "MLFLOW_", "GIT_", "PYTHONPATH", "PYTHONSAFEPATH"))
    }
    command = [sys.executable, "-m", "stages", name]
    if subprocess.run(command, cwd=clone, env=environment, check=False).returncode:
        raise UserError(f"The stage {name} failed in a clone of the run, see above.")


def set_training_key(clone: Path, key: str) -> None:
    """Write the training key of a run into `data/train` of a clone.

    The key depends on the machine. With the same key, equal results have equal hashes.
    """
    path = clone / TRAIN_FOLDER / files.INPUTS
    document = files.read_json(path)
    document.pop("digest")
    document["inputs"]["key"] = key
    files.write_json(path, {**document, "digest": files.document_digest(document)})


def compare(record: RecordedRun, clone: Path) -> Comparison:
    """Compare the results of a run with those in a clone."""
    outs = locked_outs(record)
    equal = {path: has_digest(clone / path, expected) for path, expected in outs.items()}
    history = pd.read_csv(clone / files.HISTORY_FILE)[list(EPOCH_METRICS)]
    equal["metrics of each epoch"] = np.array_equal(history.to_numpy(), record.epochs.to_numpy())
    predictions = (clone / files.PREDICTIONS_FILE).read_bytes()
    equal[str(files.PREDICTIONS_FILE)] = predictions == record.predictions
    now = machine_tags()
    then = {name: value for name, value in record.tags.items() if name in now}
    return Comparison(
        equal=equal,
        machine={name: (then[name], now[name]) for name in then if then[name] != now[name]},
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


def locked_outs(record: RecordedRun) -> dict[str, str]:
    """Return the digest of each output in a run's dvc.lock, by its path."""
    stages = record.lock["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def path_digest(path: Path) -> str:
    """Return the MD5 digest of a file or of a folder, as dvc.lock has it."""
    if path.is_file():
        return files.md5(path)
    entries = [
        {"md5": files.md5(each), "relpath": each.relative_to(path).as_posix()}
        for each in path.rglob("*")
        if each.is_file()
    ]
    return files.folder_digest(entries)


def describe_comparison(record: RecordedRun, comparison: Comparison) -> str:
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
    has_same_data = comparison.equal.get(str(FETCH_FOLDER)) and comparison.equal.get(
        str(PAD_FOLDER)
    )
    if has_same_data and comparison.machine and {PROCESSOR, THREADS, XLA} >= {*comparison.machine}:
        lines.append(
            "This is expected: another processor, other threads or flags of XLA may add numbers in "
            "another order."
        )
    return "\n".join(lines)
