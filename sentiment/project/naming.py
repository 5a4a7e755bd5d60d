"""Names of trainings: the nearest preset, and what differs from it."""

from collections.abc import Sequence
from pathlib import PurePath

from sentiment.params import FetchParams, PadParams, TrainParams
from sentiment.project.fitted_params import FITTED_PARAMS
from sentiment.project.paths import Project
from sentiment.project.presets import (
    SEED,
    Preset,
    differences,
    find_nearest_preset,
    valid_presets,
)

SEPARATOR = " · "  # joins the parts of a name
MAX_DIFFERENCES = 5  # in a name; a run has all its params anyway


def training_name(project: Project, fetch: FetchParams, pad: PadParams, train: TrainParams) -> str:
    """Return a name for a training: the project's nearest preset, and what differs from it."""
    return nearest_name(valid_presets(project), fetch, pad, train)


def nearest_name(
    presets: Sequence[Preset], fetch: FetchParams, pad: PadParams, train: TrainParams
) -> str:
    """Return a name for a training, such as `default`, `linear · epochs 12` or `lstm · seed 43`.

    Args:
        presets: see `sentiment.project.presets.valid_presets`.
        fetch: the section `fetch`. Added texts come first in the name.
    """
    nearest = find_nearest_preset(presets, pad, train)
    different = differences(nearest, pad, train)
    seed = different.pop(SEED, None)
    if fetch.dataset == "table":  # what is fitted to a table comes last
        different |= {name: different.pop(name) for name in FITTED_PARAMS if name in different}
    shown = [f"{name.split('.', 1)[1]} {value}" for name, value in different.items()]
    parts = [nearest.name, *shown[:MAX_DIFFERENCES]]
    if fetch.adds_texts:
        parts.insert(0, f"+{PurePath(fetch.added_texts).name}")
    if seed is not None:
        parts.append(f"seed {seed}")
    return SEPARATOR.join(parts)
