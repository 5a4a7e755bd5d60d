"""Where a run comes from: commit, experiment, machine; and the name that MLflow shows."""

import os
import subprocess
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

from sentiment.errors import redact
from sentiment.params import FetchParams, PadParams, TrainParams, flatten_used
from workflow.checkpoint import processor_name

SEPARATOR = " · "  # joins the parts of a run's name
MAX_CHANGES = 4  # params in a run's name
# Params that the model's name says.
NAMED_PARAMS = ("train.architecture", "train.cell", "train.units", "train.bidirectional")
# Names of the tags that `provenance_tags` returns
TAGS = ("git.commit", "processor", "tensorflow", "keras", "dvc.experiment", "dvc.baseline")
MAX_DIFF_BYTES = 2**20
# Only these are in a run's diff. Other files may hold texts, or keys as `.dvc/config` does.
DIFFED_PATHS = (
    ":(glob)**/*.py",
    "params.yaml",
    "dvc.yaml",
    "requirements.txt",
)


def provenance_tags() -> dict[str, str]:
    """Return tags of the commit, the processor, the packages and the DVC experiment."""
    tags = {
        "git.commit": git("rev-parse", "HEAD") or "none",
        "processor": processor_name(),
        "tensorflow": version("tensorflow"),
        "keras": version("keras"),
    }
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        tags["dvc.experiment"] = experiment
        tags["dvc.baseline"] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return tags


def uncommitted_diff() -> str:
    """Return the changes of code and params since the last commit, without passwords in URLs.

    Files that git does not track are not included. A long diff is cut, and says so.
    """
    diff = redact(
        git("diff", "--no-color", "--no-ext-diff", "--relative", "HEAD", "--", *DIFFED_PATHS)
    ).encode()
    if len(diff) <= MAX_DIFF_BYTES:
        return diff.decode(errors="ignore")
    kept = diff[:MAX_DIFF_BYTES].decode(errors="ignore")
    return f"{kept}\n[cut after {MAX_DIFF_BYTES:,} bytes]\n"


def git(*arguments: str) -> str:
    """Return the output of a git command, or "" if there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n")


def model_name(train: TrainParams) -> str:
    """Return a name for the model, such as `lstm-64`, `bi-gru-32` or `linear`."""
    if train.architecture == "linear":
        return "linear"
    return f"{'bi-' if train.bidirectional else ''}{train.cell}-{train.units}"


def run_name(fetch: FetchParams, pad: PadParams, train: TrainParams) -> str:
    """Return a run's name: the model, and what else differs from the defaults.

    What differs comes first, because MLflow's columns are narrow: `gru-64`, `epochs 60 · lstm-64`.
    """
    model = model_name(train)
    defaults: dict[str, Any] = flatten_used(
        fetch, PadParams(), TrainParams(architecture=train.architecture)
    )
    used = flatten_used(fetch, pad, train)
    changes = [
        f"{name.split('.', 1)[1]} {value}"
        for name, value in used.items()
        if value != defaults[name] and name not in NAMED_PARAMS
    ]
    if fetch.adds_texts:
        changes.insert(0, f"+{PurePath(fetch.added_texts).name}")
    if len(changes) > MAX_CHANGES:
        changes = [*changes[:MAX_CHANGES], f"{len(changes) - MAX_CHANGES} more"]
    is_default = model == model_name(TrainParams())
    parts = [*changes, model] if is_default else [model, *changes]
    return SEPARATOR.join(parts)
