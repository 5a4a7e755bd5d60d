"""Params of the project, with changes."""

from typing import Any

from ruamel.yaml import YAML

from sentiment.params import AnyModel, Params, TrainingParams
from sentiment.project.files.params_file import parse_params
from tests.small_project import ROOT, merge_params


def shipped_params() -> dict[str, Any]:
    """Return the params.yaml that the project ships, parsed."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return document


def new_params(**changes: Any) -> Params:
    """Return the params that the project ships, with changes by their sections."""
    return parse_params(merge_params(shipped_params(), changes), "changed params")


def new_section(model: str = "lstm", **changes: Any) -> AnyModel:
    """Return the section of a model, with changes."""
    return new_params(**{model: changes}).models[model]


def training_params(
    model: str = "lstm", seed: int = 42, vectors: str = "", **changes: Any
) -> TrainingParams:
    """Return what a model is trained with, with changes of its section."""
    section = new_section(model, **changes)
    return TrainingParams(model=model, seed=seed, vectors=vectors, section=section)
