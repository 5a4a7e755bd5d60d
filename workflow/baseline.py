"""Compare the results in the working tree with those of the last commit."""

import json
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from workflow import files
from workflow.commands import git
from workflow.params_file import read_yaml


def accuracies_on_two_machines() -> tuple[float, float] | None:
    """Return the test accuracies of the last commit and of now, if another machine made the former.

    None: the last commit has another training, or the same result.
    """
    committed = git("show", f"HEAD:./{files.DVC_LOCK}")
    metrics = git("show", f"HEAD:./{files.COMPARED_TEST_METRICS_FILE}")
    if not committed or not metrics:
        return None
    try:
        before = YAML(typ="safe", pure=True).load(committed)["stages"].get("train")
        there = json.loads(metrics)["test_accuracy"]
    except (YAMLError, ValueError):  # committed with conflict markers
        return None
    after = read_yaml(files.DVC_LOCK)["stages"].get("train")
    if not before or not after or not has_other_history(before, after):
        return None
    here = files.read_json(files.COMPARED_TEST_METRICS_FILE)["test_accuracy"]
    return there, here


def describe_other_machine(there: float, here: float) -> str:
    """Return why the result should be committed before a param is changed.

    Args:
        there: the test accuracy of the last commit.
        here: the test accuracy of the same training here.
    """
    return (
        f"The last commit has the result of another machine: {there:.4f} there, {here:.4f} here. "
        "Commit yours before you change a param, because DVC compares with the last commit."
    )


def has_other_history(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Return whether two entries of dvc.lock are of the same training with other epochs.

    `data/train` is not compared, because it names the machine.
    """
    for name in ("cmd", "deps", "params"):
        if before.get(name) != after.get(name):
            return False
    path = files.HISTORY_FILE.as_posix()
    hashes = [
        {out["path"]: out["md5"] for out in entry["outs"]}.get(path) for entry in (before, after)
    ]
    return hashes[0] != hashes[1]
