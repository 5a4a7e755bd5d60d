"""`make verify`: run the commit's pipeline again, elsewhere, and compare with `data/`.

The clone has neither the cache nor the store of this folder, so that every stage really runs.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sentiment.errors import UserError
from workflow import children, cli, dvc, files
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
    """How two runs of the same commit's pipeline differ, before and now."""

    compared: int  # number of files
    differing: list[str]  # their names
    changed: dict[str, tuple[str, str | None]]  # of machine and packages, by the run's tags
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
        before, now = (
            float(files.read_json(data / "evaluate" / "metrics.json")["test_accuracy"])
            for data in (files.DATA, again)
        )
        return Outcome(
            len(compared(files.DATA)),
            sorted(differences(files.DATA, again)),
            changed_tags(files.DATA, again),
            (before, now),
        )


def changed_tags(recorded: Path, again: Path) -> dict[str, tuple[str, str | None]]:
    """What of machine and packages another run of the pipeline has other tags of."""
    before, now = (files.read_json(data / "train/run.json")["tags"] for data in (recorded, again))
    names = [name for name in before if name.startswith(KINDS)]
    return {name: (before[name], now.get(name)) for name in names if before[name] != now.get(name)}


def require_the_commit_s_own_data() -> None:
    """Raise UserError unless `data/` is what the pipeline of this commit made."""
    changed = children.output("git", "status", "--porcelain", "--", *CHANGES)
    if changed:
        raise UserError(f"There are changes without a commit:\n{changed}Commit them first.")
    if dvc.run("status", "--quiet", str(DECLARED)):
        raise UserError("data/ is not up to date with this commit: run `make repro` first.")


def repeat(clone: Path) -> Path:
    """Run the pipeline of the current commit in a clone, with a store of its own."""
    children.output("git", "clone", "--quiet", ".", str(clone))
    for name in dvc.relative_files(load_params().fetch):
        place = clone / name  # git need not have it
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, place)
    outside = ("DVC_", "MLFLOW_", "GIT_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)}
    if dvc.run("repro", folder=clone, environment=environment):
        raise UserError("The pipeline failed in a clone of this commit, see above.")
    return clone


def compared(data: Path) -> set[str]:
    """The names of the files of `data/` that are the same in every run, relative to it."""
    paths = (path for stage in STAGES for path in (data / stage).glob("*"))
    return {str(path.relative_to(data)) for path in paths} - LEFT_OUT


def differences(recorded: Path, again: Path) -> set[str]:
    """The names of all files that differ, or that one side lacks."""
    names = compared(recorded) | compared(again)
    return {name for name in names if content(recorded / name) != content(again / name)}


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
