"""Provenance of a run: code, commit, machine and person; and the name that MLflow shows."""

import getpass
import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML

from sentiment.backend import usable_cores
from sentiment.data.params import Dataset
from sentiment.errors import redact
from sentiment.network.params import TrainParams
from sentiment.padding import PadParams
from workflow import files

DVC_FILE = Path("dvc.yaml")
CPU_INFO = Path("/proc/cpuinfo")
NUMERICAL_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn")
SEPARATOR = " · "  # joins the parts of a run's name
MAX_DIFF_BYTES = 2**20
MAX_TAG_LENGTH = 8000  # characters that MLflow's database takes
# Changes of outputs and of dvc.lock say nothing about what a run depends on.
CHANGED_PATHS = (".", ":(exclude)dvc.lock", ":(exclude)data")
# Only these are in a run's diff. Other files may hold texts, or keys as `.dvc/config` does.
DIFFED_PATHS = (
    *(
        f":(glob){package}/**/*.py"
        for package in ("extras", "sentiment", "stages", "tools", "workflow")
    ),
    "params.yaml",
    ":(glob)extras/**/*.yaml",
    "dvc.yaml",
    ":(glob)**/requirements.txt",
)


def short_digest_of(document: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a JSON document."""
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digests(stages: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256, by path, of the modules that `dvc.yaml` lists for these stages."""
    declared = YAML(typ="safe", pure=True).load(DVC_FILE)["stages"]
    listed = {Path(dep) for stage in stages for dep in declared[stage]["deps"]}
    modules = {module for path in listed for module in (path, *path.rglob("*.py"))}
    return {str(path): files.sha256(path) for path in sorted(modules) if path.suffix == ".py"}


def machine_tags() -> dict[str, str]:
    """Return tags of what may change the bits of a result: versions, processor and cores."""
    return {
        "python.version": platform.python_version(),
        **{f"{package}.version": version(package) for package in NUMERICAL_PACKAGES},
        "processor.name": _processor_name(),
        "processor.cores": str(usable_cores()),
    }


def _processor_name() -> str:
    try:
        match = re.search(r"model name\s*:\s*(.+)", CPU_INFO.read_text(encoding="utf-8"))
    except OSError:  # not Linux
        match = None
    return match[1] if match else platform.machine()


def user_name() -> str:
    """Return the name of the user at the tracking server or, without one, on this machine."""
    in_uri = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", "")).username
    try:
        return in_uri or os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # in a container, a user may have no name
        return f"uid {os.getuid()}"


def provenance_tags() -> dict[str, str]:
    """Return tags that lead from a run to its user, its git commit and its DVC experiment."""
    tags = {"mlflow.user": user_name()}
    commit = git("rev-parse", "HEAD")
    if commit:
        changes = git("status", "--porcelain", "--untracked-files=normal", "--", *CHANGED_PATHS)
        tags["git.commit"] = commit
        tags["git.uncommitted_changes"] = changes[:MAX_TAG_LENGTH] or "none"
    for tag, variable in (
        ("dvc.experiment", "DVC_EXP_NAME"),
        ("dvc.baseline", "DVC_EXP_BASELINE_REV"),
    ):
        if os.environ.get(variable):
            tags[tag] = os.environ[variable]
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
    """Return a name for the model, such as `lstm-64`, `bi-gru-32 + linear` or `linear`."""
    if train.architecture == "linear":
        return "linear"
    network = train.cell if train.architecture == "recurrent" else train.architecture
    direction = "bi-" if train.bidirectional else ""
    component = " + linear" if train.linear.share else ""
    return f"{direction}{network}-{train.units}{component}"


def run_name(
    train: TrainParams,
    pad: PadParams,
    dataset: Dataset,
    experiment: str | None = None,
    with_seed: bool = True,
) -> str:
    """Return a run's name, such as `lstm-64 · len 200 · seed 42`.

    The dataset is named unless it is IMDB, and the DVC experiment if there is one. All other params
    are columns of MLflow's table.
    """
    parts = [model_name(train), f"len {pad.max_length}"]
    if with_seed:
        parts.append(f"seed {train.seed}")
    if dataset.name != "imdb":
        parts.append(dataset.name)
    if experiment:
        parts.append(experiment)
    return SEPARATOR.join(parts)
