"""`make verify`: run the commit's pipeline again, elsewhere, and compare with `data/`.

The clone has neither the cache nor the store of this folder, so that every stage really runs.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sentiment.errors import UserError
from workflow import cli, dvc, files
from workflow.files import STAGES
from workflow.params import load_params
from workflow.runs.identity import CHANGES, DECLARED

# which run it was and what its evaluation took: these differ in every run, and so do the digests
LEFT_OUT = {
    "train/about.json",
    "train/run.json",
    "evaluate/about.json",
    "evaluate/cost.json",
}
MEASURED = ["seconds"]  # columns of tables that are measured, and differ as well
KINDS = ("python", "tensorflow", "keras", "numpy", "processor", "environment")  # of a run's tags
SAME = f"""\
All {{}} files are the same, bit for bit.
Left out: measured seconds, and {", ".join(sorted(LEFT_OUT))}, \
which describe the run and its cost."""


class Outcome(NamedTuple):
    """How two runs of the same commit's pipeline differ.

    Attributes:
        compared: number of files compared.
        differing: names of the files that differ.
        changed: what of machine and packages differs, before and now, by the run's tags.
        test_accuracy: before and now.
    """

    compared: int
    differing: list[str]
    changed: dict[str, tuple[str, str | None]]
    test_accuracy: tuple[float, float]


@cli.command(__doc__)
@cli.json_option
def main(as_json: bool) -> int:
    with cli.output_kept(as_json):
        outcome = verify()
    if outcome.differing and not as_json:
        raise UserError(explain(outcome))
    cli.report(outcome._asdict(), SAME.format(outcome.compared), as_json)
    return int(bool(outcome.differing))


def verify() -> Outcome:
    """Run the pipeline again, and compare; raises UserError if that is not possible."""
    require_the_commit_s_own_data()
    with tempfile.TemporaryDirectory() as scratch:
        again = repeat(Path(scratch) / "clone") / files.DATA
        return Outcome(
            len(list(compared(files.DATA))),
            sorted(differences(files.DATA, again)),
            changed_tags(*(read_tags(data) for data in (files.DATA, again))),
            (read_accuracy(files.DATA), read_accuracy(again)),
        )


def read_tags(data: Path) -> dict[str, str]:
    """What a run's tags say of the machine and the packages."""
    tags: dict[str, str] = files.read_json(data / "train" / "run.json")["tags"]
    return {name: text for name, text in tags.items() if name.startswith(KINDS)}


def changed_tags(here: dict[str, str], again: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    """The tags that another run of the pipeline has with another value."""
    return {key: (here[key], again.get(key)) for key in here if here[key] != again.get(key)}


def read_accuracy(data: Path) -> float:
    """The test accuracy."""
    return float(files.read_json(data / "evaluate" / "metrics.json")["test_accuracy"])


def require_the_commit_s_own_data() -> None:
    """Raise UserError unless `data/` is what the pipeline of this commit made."""
    changed = output("git", "status", "--porcelain", "--", *CHANGES)
    if changed:
        raise UserError(f"There are changes without a commit:\n{changed}\nCommit them first.")
    if subprocess.run([*DVC, "status", "--quiet", str(DECLARED)], check=False).returncode:
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
    for name in dvc.relative_files(load_params().fetch):
        dvc.require_inside(name)
        place = clone / name  # git need not have it
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, place)
    outside = ("DVC_", "MLFLOW_", "GIT_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)}
    if dvc.run("repro", folder=clone, environment=environment):
        raise UserError("The pipeline failed in a clone of this commit, see above.")
    return clone


def compared(data: Path) -> Iterator[Path]:
    """The files of `data/` that are the same in every run, relative to it."""
    for path in sorted(path for stage in STAGES for path in (data / stage).glob("*")):
        name = path.relative_to(data)
        if str(name) not in LEFT_OUT:
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


def explain(outcome: Outcome) -> str:
    """What differs, and what may be the reason."""
    changed = [f"  {key}: {here} → {again}" for key, (here, again) in outcome.changed.items()]
    reasons = changed or ["  nothing that the runs note of the machine and its packages"]
    scores = " → ".join(f"{accuracy:.4f}" for accuracy in outcome.test_accuracy)
    lines = [f"  {name}" for name in outcome.differing]
    return "\n".join(
        ["Not the same again:", *lines, f"Test accuracy: {scores}", "Changed since:", *reasons]
    )


if __name__ == "__main__":
    cli.run("make verify", main)
