"""`make verify`: run the commit's pipeline again, elsewhere, and compare with `data/`.

The clone has neither the cache nor the store of this folder, so that every stage really runs.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from sentiment.errors import UserError
from workflow import children, cli, dvc, files
from workflow.params import load_params
from workflow.runs.identity import CHANGES, DECLARED

# which run it was and what its evaluation took: these differ in every run, and so do the digests
LEFT_OUT = {"train/about.json", "train/run.json", "evaluate/about.json", "evaluate/cost.json"}
MEASURED = ["seconds"]  # columns of tables that are measured, and differ as well
KINDS = ("python", "tensorflow", "keras", "numpy", "processor", "environment")  # of a run's tags


@cli.command(__doc__)
@cli.json_option
def main(as_json: bool) -> int:
    with cli.output_kept(as_json):
        outcome = verify()
    if outcome["differing"] and not as_json:
        before, now = outcome["test_accuracy"]
        changed = (f"{name} {old} → {new}" for name, (old, new) in outcome["changed"].items())
        raise UserError(
            f"Not the same again: {', '.join(outcome['differing'])}\n"
            f"Test accuracy: {before} → {now}\n"
            f"Changed since: {', '.join(changed) or 'no package, and not the machine'}"
        )
    cli.report(outcome, f"All {outcome['compared']} files are the same, bit for bit.", as_json)
    return int(bool(outcome["differing"]))


def verify() -> dict[str, Any]:
    """Run the pipeline again, and compare: what `--json` prints.

    A UserError is raised where `data/` is not the commit's own, or the pipeline fails.
    """
    require_the_commit_s_own_data()
    with tempfile.TemporaryDirectory() as scratch:
        again = repeat(Path(scratch) / "clone") / files.DATA
        folders = (files.DATA, again)
        before, now = (files.read_json(data / "train/run.json")["tags"] for data in folders)
        metrics = [files.read_json(data / "evaluate/metrics.json") for data in folders]
        return {
            "compared": len(compared(files.DATA)),
            "differing": sorted(differences(files.DATA, again)),
            "changed": {
                name: (value, now.get(name))
                for name, value in before.items()
                if name.startswith(KINDS) and value != now.get(name)
            },
            "test_accuracy": [run["test_accuracy"] for run in metrics],
        }


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
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(outside)
    }
    if dvc.run("repro", folder=clone, environment=environment):
        raise UserError("The pipeline failed in a clone of this commit, see above.")
    return clone


def compared(data: Path) -> set[str]:
    """The names of the files of `data/` that are the same in every run, relative to it."""
    paths = (path for stage in files.STAGES for path in (data / stage).glob("*"))
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


if __name__ == "__main__":
    cli.run("make verify", main)
