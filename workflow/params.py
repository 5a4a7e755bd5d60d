"""Files of settings, each read and checked whole; `params.yaml` among them."""

import difflib
from collections.abc import Mapping
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
MOVED = {  # keys that earlier versions had, or lacked: where their values are now, or were
    "compare": "extras/compare/compare.yaml has its values now: move yours there",
    "fetch.add": "`data/none.csv` adds no texts, as in earlier versions",
    "linear": "extras/baseline/params.yaml has its values now: move yours there",
    "memory": "its values are constants in benchmarks/seeds/memory.py now",
    "predict": "`make predict` names five words now",
    "sweep": "extras/sweep/sweep.yaml has its values now: move yours there",
    "train.architecture": "`recurrent` is what earlier versions trained",
    "train.heads": "`0` is what earlier versions trained",
    "train.wide": "copy it from presets/notebook.yaml, where it is off",
}
Settings = TypeVar("Settings", bound=Section)


class Promote(Section):
    alpha: float = Field(gt=0, lt=1)
    calibration_margin: float = Field(ge=0, le=1)


class Params(Section):
    fetch: FetchParams
    pad: PadParams
    train: TrainParams
    evaluate: EvaluateParams
    promote: Promote

    @model_validator(mode="after")
    def _sections_go_together(self) -> Self:
        segment = self.train.segment_length
        if segment and self.pad.max_length % segment:
            raise ValueError(
                f"pad.max_length {self.pad.max_length} must be a multiple of "
                f"train.segment_length {segment}, so that all segments are equally long"
            )
        if self.train.mask_padding and self.pad.padding_token:
            raise ValueError(
                f"train.mask_padding needs pad.padding_token 0, which Keras masks, not "
                f"{self.pad.padding_token}"
            )
        vectors, units = self.train.embedding_initializer, self.train.embedding_units
        if vectors == "cooccurrence" and units >= self.pad.num_words:
            raise ValueError(
                f"train.embedding_initializer cooccurrence needs train.embedding_units {units} "
                f"below pad.num_words {self.pad.num_words}: there are no more dimensions than words"
            )
        return self


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check all of `params.yaml`; raises UserError as `load` does."""
    return load(Params, path)


def check_params(document: Any, source: str) -> Params:
    """Check a parsed document of `source`; raises UserError as `load_params` does."""
    return check(Params, document, source)


def load(kind: type[Settings], path: Path) -> Settings:
    """Read and check all of a file, which has to be of this kind.

    A UserError says what is wrong with the file, or names each key that is, its value and what is
    allowed.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the root of the project.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    return check(kind, document, str(path))


def check(kind: type[Settings], document: Any, source: str) -> Settings:
    """Check a parsed document of `source`; raises UserError as `load` does."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        problems = [f"  {_problem(kind, detail)}" for detail in error.errors()]
        raise UserError("\n".join([f"{source} is not valid:", *problems])) from None


def _problem(kind: type[Section], detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "the file"
    moved = MOVED.get(key, "") if kind is Params else ""
    if detail["type"] == "extra_forbidden" and moved:
        return f"{key}: unknown key. Remove it: {moved}"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key. {_suggestion(kind, detail['loc'])}"
    if detail["type"] == "missing":
        return f"{key}: missing. {moved}".removesuffix(". ")
    if detail["type"] == "model_type":
        return f"{key}: {detail['input']!r} is not allowed. A mapping of keys to values is expected"
    message = detail["msg"].removeprefix("Value error, ")
    several = detail["type"] == "value_error" and isinstance(detail["input"], dict)
    if several or detail["type"] == HIDDEN:  # the message names the values, or must not
        return f"{key}: {message}"
    return f"{key}: {detail['input']!r} is not allowed. {message}"


def _suggestion(kind: type[Section], location: tuple[int | str, ...]) -> str:
    section: Any = kind
    for part in location[:-1]:
        if get_origin(section) is dict:  # `part` is one of its keys
            section = get_args(section)[1]
        else:
            section = section.model_fields[part].annotation
    key, allowed = str(location[-1]), list(section.model_fields)
    close = difflib.get_close_matches(key, allowed, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return f"{hint}Allowed: {', '.join(allowed)}"


def dataset_name(used: Mapping[str, Any]) -> str:
    """What the data set is called that these parameters shaped, by their dotted names."""
    dataset = str(used["fetch.dataset"])
    own = str(used["fetch.table.train"]) if dataset == "table" else dataset
    return f"{own}+{used['fetch.add']}" if "fetch.add" in used else own


def tokenizer_of(used: Mapping[str, Any]) -> str:
    """How the texts of the data set that these parameters shaped were split into words."""
    return str(used.get("fetch.table.tokenizer", "keras"))
