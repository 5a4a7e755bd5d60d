"""`make verify`: run the commit's pipeline again, elsewhere, and compare with what `data/` holds.

The clone has neither the cache nor the store of this folder, so that every stage really runs.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from sentiment import files
from sentiment.errors import UserError
from sentiment.process import run_command
from tools.running import dvc

# which run it was and what its evaluation took: these differ in every run, and so do the digests
LEFT_OUT = {
    "train/about.json",
    "train/run.json",
    "train/uncommitted.diff",
    "evaluate/about.json",
    "evaluate/cost.json",
}
MEASURED = ["seconds"]  # columns of tables that are measured, and differ as well


def main() -> None:
    require_the_commit_s_own_data()
    with tempfile.TemporaryDirectory() as scratch:
        again = repeat(Path(scratch) / "clone")
        differing = sorted(differences(files.DATA, again / files.DATA))
        if differing:
            raise UserError(explain(differing, again))
    count = len(list(compared(files.DATA)))
    print(
        f"All {count} files are the same, bit for bit.\n"
        f"Left out: measured seconds, and {', '.join(sorted(LEFT_OUT))}, "
        "which say which run it was and what it took."
    )


def require_the_commit_s_own_data() -> None:
    """Raise UserError unless `data/` is what the pipeline of this commit made."""
    changed = output("git", "status", "--porcelain", "--", ".", ":(exclude)dvc.lock")
    if changed:
        raise UserError(f"There are changes without a commit:\n{changed}\nCommit them first.")
    if subprocess.run([*DVC, "status", "--quiet"], check=False).returncode:
        raise UserError("data/ is not up to date with this commit: run `make repro` first.")


DVC = [sys.executable, "-m", "dvc"]


def output(*command: str) -> str:
    """What a command prints; raises UserError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout.rstrip()


def repeat(clone: Path) -> Path:
    """Run the pipeline of the current commit in a clone, with a store of its own."""
    output("git", "clone", "--quiet", ".", str(clone))
    outside = ("DVC_", "MLFLOW_", "GIT_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)}
    if dvc.run("repro", folder=clone, environment=environment):
        raise UserError("The pipeline failed in a clone of this commit, see above.")
    return clone


def compared(data: Path) -> Iterator[Path]:
    """The files of `data/` that are the same in every run, relative to it."""
    for path in sorted(data.glob("*/*")):
        name = path.relative_to(data)
        if str(name) not in LEFT_OUT and not name.parent.name.startswith("."):
            yield name


def differences(recorded: Path, again: Path) -> set[str]:
    """The names of all files that differ, or that one side lacks."""
    names = set(compared(recorded)) | set(compared(again))
    return {str(name) for name in names if content(recorded / name) != content(again / name)}


def content(path: Path) -> Any:
    """What of a file can be compared: its digest, or its table without what is measured."""
    if not path.exists():
        return None
    if path.name == "history.csv":
        return pd.read_csv(path).drop(columns=MEASURED).to_csv()
    return files.sha256(path)


def explain(differing: list[str], again: Path) -> str:
    """Say what differs, and what may be the reason."""
    runs = [files.read_json(data / "train" / "run.json") for data in (files.DATA, again / "data")]
    kinds = ("python", "tensorflow", "keras", "numpy", "processor", "environment")
    here, there = ({k: v for k, v in run["tags"].items() if k.startswith(kinds)} for run in runs)
    changed = [
        f"  {key}: {here[key]} → {there.get(key)}" for key in here if here[key] != there.get(key)
    ]
    reasons = changed or ["  nothing that the runs note of the machine and its packages"]
    metrics = [
        files.read_json(data / "evaluate" / "metrics.json") for data in (files.DATA, again / "data")
    ]
    scores = " → ".join(f"{each['test_accuracy']:.4f}" for each in metrics)
    lines = [f"  {name}" for name in differing]
    return "\n".join(
        ["Not the same again:", *lines, f"Test accuracy: {scores}", "Changed since:", *reasons]
    )


if __name__ == "__main__":
    run_command("make verify", main)
