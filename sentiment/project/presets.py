"""Presets: params of other models, which are written into params.yaml."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sentiment.data.lengths import TextLengths, measure_lengths
from sentiment.data.vectors import FILE_ADVICE
from sentiment.errors import UserError
from sentiment.params import (
    WITHOUT_VECTORS,
    PadParams,
    Params,
    TrainParams,
    flatten,
    merge_params,
    used_model_params,
)
from sentiment.project.fitted_params import FITTED_PARAMS, fit_params
from sentiment.project.params_file import (
    changed_params,
    load_params,
    parse_params,
    read_yaml,
    update_params_file,
)
from sentiment.project.paths import Project

DEFAULT = "default"
PRESET_SECTIONS = ("pad", "train")
SEED = "train.seed"


class Preset(NamedTuple):
    """The params that a preset sets."""

    name: str
    pad: PadParams
    train: TrainParams


def apply_preset(
    project: Project, name: str, with_dataset: bool = False, vectors: str | None = None
) -> list[str]:
    """Write the params of a preset into params.yaml, and return the changes, one on each line.

    All other params of its sections get their defaults, so that two presets never mix. For a table
    of one's own texts, `fit_params` then fits it to them.

    Args:
        name: the preset. `default` is the one without changes.
        with_dataset: also set the params of the dataset to their defaults.
        vectors: a file of word vectors, in place of the preset's.

    Raises:
        UserError: there is no such preset, or it is not valid, or the table or the file of word
            vectors cannot be used.
    """
    fetch = load_params(project).fetch
    params = read_preset(project, name)
    if vectors is not None:
        params = changed_params(params, {"pad.vectors": vectors})
    if params.pad.has_vectors and not (project.folder / params.pad.vectors).is_file():
        raise UserError(
            f"There is no file {params.pad.vectors}. Name a file of word vectors with --vectors. "
            f"{FILE_ADVICE}"
        )
    sections = [*PRESET_SECTIONS, *(["fetch"] if with_dataset else [])]
    values: dict[str, Any] = {}
    for section in sections:
        values |= flatten(getattr(params, section), section)
    if fetch.dataset == "table" and not with_dataset:
        from sentiment.data.dataset import load_dataset  # imports pandas, which takes a second

        lengths = measure_lengths(load_dataset(fetch).train.lengths)
        values |= fit_params(params.pad, params.train, lengths)
    return update_params_file(project, values)


def preset_names(project: Project) -> list[str]:
    """Return the names of all presets."""
    return [DEFAULT, *sorted(each.stem for each in project.presets.glob("*.yaml"))]


def valid_presets(project: Project) -> list[Preset]:
    """Return all presets that can be read, `default` first."""
    presets = []
    for name in preset_names(project):
        with suppress(UserError, OSError):
            params = read_preset(project, name)
            presets.append(Preset(name, params.pad, params.train))
    return presets


def fitted_preset(preset: Preset, lengths: TextLengths) -> Preset:
    """Return a preset with the params that fit a table."""
    params = Params(pad=preset.pad, train=preset.train)
    fitted = changed_params(params, fit_params(preset.pad, preset.train, lengths))
    return Preset(preset.name, fitted.pad, fitted.train)


def differences(preset: Preset, pad: PadParams, train: TrainParams) -> dict[str, Any]:
    """Return the params that a training reads and that are not as in a preset, by dotted names."""
    used = WITHOUT_VECTORS | used_model_params(pad, train)
    usual = WITHOUT_VECTORS | used_model_params(preset.pad, preset.train)
    # A param that only one of two architectures reads has no value in the other one.
    return {name: value for name, value in used.items() if usual.get(name) != value}


def find_nearest_preset(presets: Sequence[Preset], pad: PadParams, train: TrainParams) -> Preset:
    """Return the preset with the fewest differences other than the seed and `FITTED_PARAMS`.

    Args:
        presets: see `valid_presets`.
    """
    may_differ = {SEED, *FITTED_PARAMS}
    return min(presets, key=lambda preset: len(differences(preset, pad, train).keys() - may_differ))


def read_preset(project: Project, name: str) -> Params:
    """Read a preset, with the defaults of all params that it does not set.

    Raises:
        UserError: there is no such preset, or it is not valid.
    """
    defaults = Params()
    if name == DEFAULT:
        return defaults
    path = project.presets / f"{name}.yaml"
    names = preset_names(project)
    if name not in names:
        raise UserError(f"There is no preset {name}. Use one of these names: {', '.join(names)}.")
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise UserError(f"{path} is not a mapping of sections. Write it like params.yaml.")
    for section in document:
        if section not in PRESET_SECTIONS:
            raise UserError(f"{path}: a preset cannot set {section}. Remove it.")
    return parse_params(merge_params(defaults.model_dump(), document), str(path))
