"""`params.yaml`: its form, its limits, and a clear message where it does not keep to them."""

import difflib
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sentiment.errors import UserError

PARAMS_FILE = Path("params.yaml")
SEED_LIMIT = 2**32  # NumPy's legacy generators and Keras take 32-bit seeds
CLAUSE_LENGTH = 5  # words of the longest opinion: "the plot was not good"


class Section(BaseModel):
    """A mapping in `params.yaml`: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Synthetic(Section):
    seed: int = Field(ge=0, lt=SEED_LIMIT)
    train_reviews: int = Field(ge=100, le=1_000_000)
    test_reviews: int = Field(ge=100, le=1_000_000)
    vocab_size: int = Field(ge=200, le=88_000)
    min_length: int = Field(ge=1, le=10_000)
    max_length: int = Field(ge=1, le=10_000)
    opinions: int = Field(ge=1, le=100)
    cue_distance: int = Field(ge=1, le=10_000)
    negated_share: float = Field(ge=0, le=0.5)
    ironic_share: float = Field(ge=0, le=0.5)
    label_noise: float = Field(ge=0, lt=0.5)

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.max_length < self.min_length:
            raise ValueError(
                f"max_length {self.max_length} must be at least min_length {self.min_length}"
            )
        if self.min_length <= self.cue_distance:
            raise ValueError(
                f"min_length {self.min_length} must be greater than "
                f"cue_distance {self.cue_distance}, to hold the cue"
            )
        if self.cue_distance < CLAUSE_LENGTH * self.opinions:
            raise ValueError(
                f"cue_distance {self.cue_distance} must be at least "
                f"{CLAUSE_LENGTH} times opinions {self.opinions}, to hold them"
            )
        return self


class Fetch(Section):
    dataset: Literal["imdb", "synthetic"]
    url: str = Field(pattern=r"^https?://[^\s]+/$")
    archive_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    word_index_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    timeout: float = Field(gt=0, le=3600)
    retries: int = Field(ge=0, le=100)
    synthetic: Synthetic


class Pad(Section):
    num_words: int = Field(ge=5, le=1_000_000)
    max_length: int = Field(ge=1, le=10_000)
    padding: Literal["pre", "post"]
    truncating: Literal["pre", "post"]
    padding_token: int = Field(ge=0)
    start_token: int = Field(ge=0)
    unknown_token: int = Field(ge=0)
    index_from: int = Field(ge=0)
    shuffle_seed: int = Field(ge=0, lt=SEED_LIMIT)

    @model_validator(mode="after")
    def _marks_are_apart(self) -> Self:
        marks = [self.padding_token, self.start_token, self.unknown_token]
        if len(set(marks)) < 3:
            raise ValueError(f"padding_token, start_token and unknown_token {marks} must differ")
        if max(marks) > self.index_from:
            raise ValueError(
                f"index_from {self.index_from} must be at least the largest mark {max(marks)}, "
                "or words would share it"
            )
        if self.num_words <= self.index_from + 1:
            raise ValueError(
                f"num_words {self.num_words} must be greater than "
                f"index_from + 1, {self.index_from + 1}, or no word is left"
            )
        return self


class Dropout(Section):
    embedding: float = Field(ge=0, lt=1)
    input: float = Field(ge=0, lt=1)
    recurrent: float = Field(ge=0, lt=1)
    head: float = Field(ge=0, lt=1)


class EarlyStopping(Section):
    patience: int = Field(ge=0)
    monitor: Literal["val_loss", "val_accuracy"]
    min_delta: float = Field(ge=0)


class Train(Section):
    embedding_units: int = Field(ge=1, le=4096)
    cell: Literal["lstm", "gru", "simple_rnn"]
    units: int = Field(ge=1, le=4096)
    bidirectional: bool
    pooling: Literal["last", "max", "mean", "max+mean"]
    dropout: Dropout
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"]
    learning_rate: float = Field(gt=0, le=10)
    epochs: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=1, le=1_000_000)
    validation_batch_size: int = Field(ge=1, le=1_000_000)
    validation_split: float = Field(gt=0, lt=1)
    early_stopping: EarlyStopping
    seed: int = Field(ge=0, lt=SEED_LIMIT)
    deterministic: bool
    accelerate: bool


class Evaluate(Section):
    batch_size: int = Field(ge=1, le=1_000_000)
    threshold: float = Field(gt=0, lt=1)
    length_buckets: list[int] = Field(min_length=1)
    calibration_bins: int = Field(ge=2, le=1000)
    mistakes: int = Field(ge=0, le=10_000)
    roc_points: int = Field(ge=2, le=1_000_000)
    figure_dpi: int = Field(ge=20, le=1200)
    figure_width: float = Field(ge=1, le=100)
    figure_height: float = Field(ge=1, le=100)

    @field_validator("length_buckets")
    @classmethod
    def _buckets_rise(cls, bounds: list[int]) -> list[int]:
        if any(low >= high for low, high in pairwise([0, *bounds])):
            raise ValueError("Bounds must be positive and rise from each to the next")
        return bounds


class Compare(Section):
    confidence: float = Field(gt=0, lt=1)
    bootstrap_samples: int = Field(ge=100, le=1_000_000)
    bootstrap_seed: int = Field(ge=0, lt=SEED_LIMIT)
    examples: int = Field(ge=0, le=1000)


class Predict(Section):
    words: int = Field(ge=0, le=1000)


class Promote(Section):
    dataset: Literal["imdb", "synthetic"]
    alpha: float = Field(gt=0, lt=1)
    calibration_margin: float = Field(ge=0, le=1)


class Params(Section):
    fetch: Fetch
    pad: Pad
    train: Train
    evaluate: Evaluate
    compare: Compare
    predict: Predict
    promote: Promote


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check `params.yaml` as a whole.

    Raises:
        UserError: it is missing, not YAML, or a key or value is not allowed; the message
            names each key, its value and what is allowed.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the root of the project.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    return check_params(document, str(path))


def check_params(document: Any, source: str) -> Params:
    """Check a parsed document of `source`; raises UserError as `load_params` does."""
    try:
        return Params.model_validate(document)
    except ValidationError as error:
        problems = [f"  {_problem(detail)}" for detail in error.errors()]
        raise UserError("\n".join([f"{source} does not hold:", *problems])) from None


def flatten(section: BaseModel, prefix: str) -> dict[str, Any]:
    """Return a section's values by their dotted `params.yaml` names."""
    flat: dict[str, Any] = {}
    for key, value in section:
        name = f"{prefix}.{key}"
        flat |= flatten(value, name) if isinstance(value, BaseModel) else {name: value}
    return flat


def shaping_data(params: Fetch) -> dict[str, Any]:
    """The parameters that the data depends on, by their dotted names.

    Where it was downloaded from is not among them: the digest says what it is.
    """
    flat = flatten(params, "fetch")
    shaping = (
        "fetch.synthetic." if params.dataset == "synthetic" else ("fetch.archive_", "fetch.word_")
    )
    return {
        name: value
        for name, value in flat.items()
        if name == "fetch.dataset" or name.startswith(shaping)
    }


def _problem(detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key. {_suggestion(detail['loc'])}"
    if detail["type"] == "missing":
        return f"{key}: missing"
    if detail["type"] == "model_type":
        return f"{key}: {detail['input']!r} is not allowed. A mapping of keys to values is wanted"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):
        return f"{key}: {message}"  # about several values, which it names itself
    return f"{key}: {detail['input']!r} is not allowed. {message}"


def _suggestion(location: tuple[int | str, ...]) -> str:
    section: Any = Params
    for part in location[:-1]:
        section = section.model_fields[part].annotation
    allowed = list(section.model_fields)
    close = difflib.get_close_matches(str(location[-1]), allowed, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return f"{hint}Allowed: {', '.join(allowed)}"
