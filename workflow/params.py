"""YAML files of params and configs, `params.yaml` among them, read and validated as a whole."""

import difflib
from pathlib import Path
from typing import Any, Self, TypeVar, get_args, get_origin

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sentiment.data.params import FetchParams
from sentiment.errors import UserError
from sentiment.evaluation.params import EvaluateParams
from sentiment.network.params import TrainParams
from sentiment.padding import PadParams
from sentiment.section import HIDDEN, Section

PARAMS_FILE = Path("params.yaml")
DEFAULTS_FILE = Path("presets", "default.yaml")
SectionT = TypeVar("SectionT", bound=Section)


class PromoteParams(Section):
    """The promotion rule, see `workflow.registry.promotion`."""

    alpha: float = Field(
        gt=0,
        lt=1,
        description="Significance level of all tests against one champion together. The k-th "
        "candidate needs a p-value of McNemar's exact test below `alpha` / k(k+1).",
    )
    calibration_margin: float = Field(
        ge=0,
        le=1,
        description="Maximum by which the candidate's expected calibration error may exceed the "
        "champion's.",
    )


class Params(Section):
    """The content of `params.yaml`."""

    fetch: FetchParams = Field(description="Dataset of the pipeline.")
    pad: PadParams = Field(
        description="Arrays of token ids, in which all reviews have the same length."
    )
    train: TrainParams = Field(description="Model and training.")
    evaluate: EvaluateParams = Field(
        description="Metrics, tables and plots of the test set, and the registered model."
    )
    promote: PromoteParams = Field(
        description="Rule by which an evaluated model becomes the champion, see [Versions and the "
        "champion](serving.md#versions-and-the-champion). A change runs `evaluate` again."
    )

    @model_validator(mode="after")
    def _check_sections_together(self) -> Self:
        segment = self.train.segment_length
        if segment and self.pad.max_length % segment:
            raise ValueError(
                f"pad.max_length {self.pad.max_length} must be a multiple of "
                f"train.segment_length {segment}, so that all segments are equally long"
            )
        units = self.train.embedding_units
        is_cooccurrence = self.train.embedding_initializer == "cooccurrence"
        if is_cooccurrence and units >= self.pad.num_words:
            raise ValueError(
                f"train.embedding_initializer cooccurrence needs train.embedding_units {units} "
                f"below pad.num_words {self.pad.num_words}: there are no more dimensions than words"
            )
        return self


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate `params.yaml`.

    Raises:
        UserError: see `load_yaml`.
    """
    return load_yaml(Params, path)


def validate_params(document: Any, source: str) -> Params:
    """Validate a parsed `params.yaml`; `source` names it in the message.

    Raises:
        UserError: see `load_yaml`.
    """
    return validate(Params, document, source)


def load_yaml(kind: type[SectionT], path: Path) -> SectionT:
    """Read and validate a YAML file.

    Raises:
        UserError: the file is missing or is not YAML, or some keys or values are not allowed. The
            message names each of them, its value and what is allowed.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the root of the project.") from None
    # ValueError: the file is not UTF-8, or has a date such as 2001-02-30.
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    return validate(kind, document, str(path))


def validate(kind: type[SectionT], document: Any, source: str) -> SectionT:
    """Validate a parsed document; `source` names it in the message.

    Raises:
        UserError: see `load_yaml`.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        problems = [f"  {_problem(kind, detail)}" for detail in error.errors()]
        raise UserError("\n".join([f"{source} is not valid:", *problems])) from None


def _problem(kind: type[Section], detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key. {_suggestion(kind, detail['loc'])}"
    if detail["type"] == "missing":
        return f"{key}: missing"
    if detail["type"] == "model_type":
        return f"{key}: {detail['input']!r} is not allowed. A mapping of keys to values is expected"
    message = detail["msg"].removeprefix("Value error, ")
    names_values_itself = detail["type"] == "value_error" and isinstance(detail["input"], dict)
    if names_values_itself or detail["type"] == HIDDEN:  # a hidden value may be a password
        return f"{key}: {message}"
    return f"{key}: {detail['input']!r} is not allowed. {message}"


def _suggestion(kind: type[Section], location: tuple[int | str, ...]) -> str:
    section: Any = kind
    for part in location[:-1]:
        if get_origin(section) is dict:  # `part` is one of its keys
            section = get_args(section)[1]
        else:
            section = section.model_fields[part].annotation
    key = str(location[-1])
    allowed = list(section.model_fields)
    close = difflib.get_close_matches(key, allowed, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return f"{hint}Allowed: {', '.join(allowed)}"
