"""Where a run comes from: commit, uncommitted changes, experiment, machine; and its name."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from sentiment.errors import redact
from sentiment.params import FetchParams, PadParams, TrainParams, flatten_used
from sentiment.prediction.backend import usable_cores
from workflow.commands import git
from workflow.machine import machine_tags
from workflow.params_file import read_yaml
from workflow.presets import Preset

SEPARATOR = " · "  # joins the parts of a run's name
MAX_CHANGES = 4  # params in a run's name
# Params that the model's name says.
NAMED_PARAMS = ("train.architecture", "train.cell", "train.units", "train.bidirectional")
# Tags of a run
# MLflow would set these two for the process that logs, which may not be the one that trained.
COMMIT = "mlflow.source.git.commit"
BRANCH = "mlflow.source.git.branch"
DVC_EXPERIMENT_TAG = "dvc.experiment"
DIFF_TAG = "git.diff"  # says what the diff lacks
MAX_DIFF_BYTES = 2**20
# Only these are in a run's diff. Other files may hold texts, or keys as `.dvc/config` does.
DIFFED_PATHS = (
    ":(glob)**/*.py",
    "params.yaml",
    "dvc.yaml",
    "requirements.txt",
)
UNKNOWN = "unknown"  # the commit and branch of a training that another clone has run


class UncommittedChanges(NamedTuple):
    """The changes of code and params since the last commit.

    Attributes:
        diff: what `git apply` takes, without passwords in URLs.
        missing: clauses that say which changes are not in the diff.
    """

    diff: str
    missing: list[str]


def uncommitted_changes() -> UncommittedChanges:
    """Ask git for the changes of code and params since the last commit."""
    # `git apply` needs the default prefixes, which a user may have configured away.
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--relative", *prefixes)
    changes = git("diff", *options, "HEAD", "--", *DIFFED_PATHS)
    stages = read_yaml(Path("dvc.yaml"))["stages"].values()
    dependencies = {path for stage in stages for path in stage.get("deps", [])}
    code = filter(is_code, dependencies)
    untracked = git("ls-files", "--others", "--exclude-standard", "--", *sorted(code)).splitlines()
    return limit_changes(changes, untracked)


def is_code(dependency: str) -> bool:
    """Return whether a dependency in dvc.yaml is code, and not data or a param's value."""
    return not dependency.startswith(("$", "data/", "metrics/"))


def limit_changes(changes: str, untracked: Sequence[str]) -> UncommittedChanges:
    """Take passwords out of a diff, limit its size, and say what it lacks.

    Args:
        changes: the diff.
        untracked: the files of code that git does not track.
    """
    diff = redact(changes)
    missing = []
    if diff != changes:
        missing.append("a password or the query of a URL was taken out")
    if len(diff.encode()) > MAX_DIFF_BYTES:
        kept = diff.encode()[:MAX_DIFF_BYTES].decode(errors="ignore")
        diff = f"{kept}\n[cut after {MAX_DIFF_BYTES:,} bytes]"
        missing.append(f"it is cut after {MAX_DIFF_BYTES:,} bytes")
    if untracked:
        missing.append(f"git does not track {', '.join(untracked)}")
    return UncommittedChanges(diff, missing)


def provenance_tags(changes: UncommittedChanges) -> dict[str, str]:
    """Return tags of the commit, the changes that are not in the diff, the machine and DVC."""
    tags = {
        COMMIT: git("rev-parse", "HEAD") or "none",
        BRANCH: git("branch", "--show-current") or "none",
        **machine_tags(),
        "cores": str(usable_cores()),
    }
    if changes.missing:
        tags[DIFF_TAG] = f"not complete: {'; '.join(changes.missing)}"
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        tags[DVC_EXPERIMENT_TAG] = experiment
        tags["dvc.baseline"] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return tags


def model_name(train: TrainParams) -> str:
    """Return a name for the model, such as `lstm-64`, `bi-gru-32` or `linear`."""
    if train.architecture == "linear":
        return "linear"
    return f"{'bi-' if train.bidirectional else ''}{train.cell}-{train.units}"


def training_name(fetch: FetchParams, pad: PadParams, train: TrainParams) -> str:
    """Return a name for a training: the model, and what else differs from the defaults.

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
        changes.insert(0, added_texts_name(fetch))
    if len(changes) > MAX_CHANGES:
        changes = [*changes[:MAX_CHANGES], f"{len(changes) - MAX_CHANGES} more"]
    is_default = model == model_name(TrainParams())
    parts = [*changes, model] if is_default else [model, *changes]
    return SEPARATOR.join(parts)


def added_texts_name(fetch: FetchParams) -> str:
    """Return a name for the added texts, such as `+more.csv`."""
    return f"+{PurePath(fetch.added_texts).name}"


def run_name(preset: Preset | None, fetch: FetchParams, pad: PadParams, train: TrainParams) -> str:
    """Return the name of a run.

    Args:
        preset: the preset whose params it has, except for the seed. None: see `training_name`.
        fetch: the section `fetch`.
        pad: the section `pad`.
        train: the section `train`.
    """
    if preset is None:
        return training_name(fetch, pad, train)
    parts = [added_texts_name(fetch)] if fetch.adds_texts else []
    parts.append(preset.name)
    if train.seed != preset.train.seed:
        parts.append(f"seed {train.seed}")
    return SEPARATOR.join(parts)
