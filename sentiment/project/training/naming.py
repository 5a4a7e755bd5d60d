"""Names of trainings: the section that is trained, and what differs from the last commit."""

from pathlib import PurePath
from typing import Any

from sentiment.errors import UserError
from sentiment.params import TrainingParams, flatten_mapping
from sentiment.project.files.params_file import PARAMS, parse_yaml
from sentiment.project.files.paths import Project
from sentiment.project.versioning.git import git

SEPARATOR = " · "  # joins the parts of a name
MAX_DIFFERENCES = 5  # in a name; a run has all its params anyway
DEFAULT_SEED = 42


def training_name(project: Project, training: TrainingParams) -> str:
    """Return a name, such as `lstm`, `lstm · units 32` or `linear · vectors glove · seed 43`.

    It has the params of the section that differ from those in the last commit. In an experiment,
    this is the baseline.
    """
    text = git(project.folder, "show", f"HEAD:./{PARAMS}")
    return describe_training(training, committed_section(text, training.model))


def describe_training(training: TrainingParams, usual: dict[str, Any] | None) -> str:
    """Return the name of a training.

    Args:
        usual: the section in the last commit, or None if it has no such section.
    """
    parts = [training.model]
    if usual is not None:
        parts += describe_differences(training, flatten_mapping(usual))
    if training.vectors:
        parts.append(f"vectors {PurePath(training.vectors).stem}")
    if training.seed != DEFAULT_SEED:
        parts.append(f"seed {training.seed}")
    return SEPARATOR.join(parts)


def describe_differences(training: TrainingParams, usual: dict[str, Any]) -> list[str]:
    """Return the params of a section that differ from usual values, and how many more there are."""
    outside = ("model", "seed", "vectors")
    read = {name: value for name, value in training.logged().items() if name not in outside}
    missing = object()
    in_order = [name for name in dict.fromkeys([*usual, *read]) if name in read]
    different = [
        f"{name} {_show(read[name])}" for name in in_order if usual.get(name, missing) != read[name]
    ]
    more = len(different) - MAX_DIFFERENCES
    return [*different[:MAX_DIFFERENCES], *([f"+{more}"] if more > 0 else [])]


def _show(value: Any) -> str:
    """Return a value as params.yaml has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def committed_section(text: str, model: str) -> dict[str, Any] | None:
    """Return a section of the params.yaml of a commit, or None if it has no such section."""
    try:
        document = parse_yaml(text, PARAMS)
    except UserError:
        return None
    section = document.get(model) if isinstance(document, dict) else None
    return section if isinstance(section, dict) else None
