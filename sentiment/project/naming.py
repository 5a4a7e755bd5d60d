"""Names of trainings: the nearest preset, and what differs from it."""

from collections.abc import Sequence
from pathlib import PurePath

from sentiment.data.lengths import TextLengths
from sentiment.params import PadParams, TrainParams
from sentiment.project.paths import Project
from sentiment.project.presets import (
    SEED,
    Preset,
    differences,
    find_nearest_preset,
    fitted_preset,
    valid_presets,
)

VECTORS_PARAM = "pad.vectors"
FREEZE_VECTORS = "train.freeze_vectors"
SEPARATOR = " · "  # joins the parts of a name
MAX_DIFFERENCES = 5  # in a name; a run has all its params anyway


def training_name(
    project: Project, pad: PadParams, train: TrainParams, lengths: TextLengths | None
) -> str:
    """Return a name for a training by the nearest of the presets of the project.

    Args:
        lengths: the lengths of the texts of one's own table. None: it is another dataset.
    """
    return nearest_name(valid_presets(project), pad, train, lengths)


def nearest_name(
    presets: Sequence[Preset], pad: PadParams, train: TrainParams, lengths: TextLengths | None
) -> str:
    """Return a name for a training, such as `default`, `linear · epochs 12` or `lstm · seed 43`.

    A file of word vectors is shown by its stem. A param of a table is left out if it has the value
    that is fitted to the table.

    Args:
        presets: see `sentiment.project.presets.valid_presets`.
        lengths: see `training_name`.
    """
    if lengths is not None:
        presets = [fitted_preset(preset, lengths) for preset in presets]
    nearest = find_nearest_preset(presets, pad, train)
    different = differences(nearest, pad, train)
    seed = different.pop(SEED, None)
    if VECTORS_PARAM in different:
        different[VECTORS_PARAM] = PurePath(different[VECTORS_PARAM]).stem
    if different.get(FREEZE_VECTORS) is False:  # as usual; presets without vectors do not have it
        del different[FREEZE_VECTORS]
    shown = [f"{name.split('.', 1)[1]} {value}" for name, value in different.items()]
    parts = [nearest.name, *shown[:MAX_DIFFERENCES]]
    if seed is not None:
        parts.append(f"seed {seed}")
    return SEPARATOR.join(parts)
