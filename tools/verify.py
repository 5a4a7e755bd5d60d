"""`make verify`: run this commit's pipeline again in a clone, and compare its files with `data/`.

The clone has no DVC cache and no tracking store, so every stage runs.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from sentiment.errors import UserError
from workflow.commands import command, json_option, print_result, run_command, stdout_to_stderr
from workflow.dvc_commands import project_table_files, run_dvc
from workflow.files import DATA, STAGES, read_json, sha256
from workflow.params import load_params
from workflow.processes import command_output
from workflow.provenance import CHANGED_PATHS, DVC_FILE

# These name the run and measure its costs, or have the digests of files that do.
IGNORED_FILES = {
    "train/about.json",
    "train/run.json",
    "evaluate/about.json",
    "evaluate/cost.json",
}
TIMING_COLUMNS = ["seconds"]  # in history.csv
# Prefixes of a run's tags that say what may change the bits of a result.
ENVIRONMENT_TAGS = (
    "python.",
    "tensorflow.",
    "keras.",
    "numpy.",
    "scipy.",
    "scikit-learn.",
    "processor.",
)
PROJECT_VARIABLES = ("DVC_", "MLFLOW_", "GIT_")  # prefixes; the clone must not use them


@command(__doc__)
@json_option
def main(as_json: bool) -> int:
    with stdout_to_stderr(as_json):
        result = verify()
    if result["differing"] and not as_json:
        raise UserError(format_differences(result))
    print_result(result, f"All {result['compared']} files are the same, bit for bit.", as_json)
    return 1 if result["differing"] else 0


def format_differences(result: dict[str, Any]) -> str:
    """Return the message about files that differ, from what `verify` returns."""
    recorded_accuracy, new_accuracy = result["test_accuracy"]
    changes = [f"{tag} {old} → {new}" for tag, (old, new) in result["changed"].items()]
    return (
        f"These files differ: {', '.join(result['differing'])}\n"
        f"Test accuracy: {recorded_accuracy} → {new_accuracy}\n"
        f"Changed since: {', '.join(changes) or 'neither packages nor machine'}"
    )


def verify() -> dict[str, Any]:
    """Run the pipeline again and compare the results. Return what `--json` prints.

    Raises:
        UserError: `data/` is not up to date with the commit, or the pipeline fails in the clone.
    """
    check_data_is_up_to_date()
    with tempfile.TemporaryDirectory() as scratch:
        new_data = run_in_clone(Path(scratch) / "clone") / DATA
        return {
            "compared": len(comparable_files(DATA)),
            "differing": sorted(differing_files(DATA, new_data)),
            "changed": changed_environment(DATA, new_data),
            "test_accuracy": [
                read_json(data / "evaluate" / "metrics.json")["test_accuracy"]
                for data in (DATA, new_data)
            ],
        }


def check_data_is_up_to_date() -> None:
    """Check that the pipeline of the current commit made `data/`.

    Raises:
        UserError: there are uncommitted changes, or a stage has to run.
    """
    changes = command_output("git", "status", "--porcelain", "--", *CHANGED_PATHS)
    if changes:
        raise UserError(f"There are uncommitted changes:\n{changes}Commit them first.")
    if run_dvc("status", "--quiet", str(DVC_FILE)):
        raise UserError("data/ is not up to date with this commit. Run `make repro` first.")


def run_in_clone(clone: Path) -> Path:
    """Clone the current commit, run its pipeline there with a store of its own, return the clone.

    Raises:
        UserError: the pipeline fails.
    """
    command_output("git", "clone", "--quiet", ".", str(clone))
    for name in project_table_files(load_params().fetch):
        table = clone / name
        table.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, table)  # git may not track it
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(PROJECT_VARIABLES)
    }
    if run_dvc("repro", folder=clone, environment=environment):
        raise UserError("The pipeline failed in a clone of this commit, see above.")
    return clone


def changed_environment(recorded: Path, new: Path) -> dict[str, tuple[str, str | None]]:
    """Return the tags of machine and packages that changed between two runs, old and new value."""
    old_tags = read_json(recorded / "train" / "run.json")["tags"]
    new_tags = read_json(new / "train" / "run.json")["tags"]
    return {
        tag: (value, new_tags.get(tag))
        for tag, value in old_tags.items()
        if tag.startswith(ENVIRONMENT_TAGS) and value != new_tags.get(tag)
    }


def comparable_files(data: Path) -> set[str]:
    """Return the files of `data/` that are the same in every run, by their path in it."""
    paths = (path for stage in STAGES for path in (data / stage).glob("*"))
    return {str(path.relative_to(data)) for path in paths} - IGNORED_FILES


def differing_files(recorded: Path, new: Path) -> set[str]:
    """Return the files that differ or that one of two `data/` folders lacks."""
    names = comparable_files(recorded) | comparable_files(new)
    return {
        name
        for name in names
        if comparable_content(recorded / name) != comparable_content(new / name)
    }


def comparable_content(path: Path) -> str | None:
    """Return the digest of a file, or a table without its timings; None if there is no file."""
    if not path.exists():
        return None
    if path.name == "history.csv":
        return pd.read_csv(path).drop(columns=TIMING_COLUMNS).to_csv()
    return sha256(path)


if __name__ == "__main__":
    run_command("make verify", main)
