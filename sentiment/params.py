"""`params.yaml`: its sections, the rules between them, and changes of its values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from sentiment import settings
from sentiment.data.dataset import Fetch
from sentiment.data.padding import Pad
from sentiment.network.train_options import Train
from sentiment.scoring.evaluate_options import Evaluate
from sentiment.section import Section

PARAMS_FILE = Path("params.yaml")
SEARCHED = ("pad", "train")  # sections whose parameters a sweep may search, and a preset set
MOVED = {  # sections of earlier versions, and where their values are now
    "compare": "extras/compare/compare.yaml has its values now: move yours there",
    "linear": "extras/baseline/params.yaml has its values now: move yours there",
    "memory": "its values are constants in benchmarks/memory.py now",
    "predict": "`make predict WORDS=5` says how many words to name now",
    "sweep": "extras/sweep/sweep.yaml has its values now: move yours there",
}


class Promote(Section):
    alpha: float = Field(gt=0, lt=1)
    calibration_margin: float = Field(ge=0, le=1)


class Params(Section):
    fetch: Fetch
    pad: Pad
    train: Train
    evaluate: Evaluate
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


def parameter(name: str) -> FieldInfo | None:
    """What is known of the parameter of this dotted name; None if there is none."""
    model: Any = Params
    info: FieldInfo | None = None
    for part in name.split("."):
        info = getattr(model, "model_fields", {}).get(part)
        if info is None:
            return None
        model = info.annotation
    return None if hasattr(model, "model_fields") else info


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check all of `params.yaml`; raises UserError as `sentiment.settings.load` does."""
    return settings.load(Params, path, MOVED)


def check_params(document: Any, source: str) -> Params:
    """Check a parsed document of `source`; raises UserError as `load_params` does."""
    return settings.check(Params, document, source, MOVED)


def changed(params: Params, changes: Mapping[str, Any]) -> Params:
    """The params with other values, by their dotted names.

    Raises:
        UserError: there is no such parameter, or the values are not allowed.
    """
    document = params.model_dump()
    for name, value in changes.items():
        *sections, key = name.split(".")
        section = document
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = value
    return check_params(document, f"{PARAMS_FILE} with {dict(changes)}")
