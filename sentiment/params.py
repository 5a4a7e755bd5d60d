"""All params of the pipeline: a class for each section of params.yaml, a line for each param.

The comments in params.yaml say what the params mean.
"""

from collections.abc import Mapping
from os.path import normpath
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from sentiment.text.labels import normalize_label
from sentiment.text.padding import INDEX_FROM, Layout
from sentiment.text.tokenizer import KERAS

# A file without vectors: DVC accepts no empty path, and warns of an empty file.
NO_VECTORS = "data/no-vectors.txt"
# What params have without vectors. `used_model_params` leaves it out.
WITHOUT_VECTORS = {"pad.vectors": NO_VECTORS}
# Params of `train` that only recurrent networks read.
RECURRENT_PARAMS = (
    "embedding_units",
    "freeze_vectors",
    "cell",
    "units",
    "layers",
    "bidirectional",
    "mask_padding",
    "pooling",
    "dropout",
)


def require_path(path: str) -> str:
    """Return a path as it is.

    Raises:
        PydanticCustomError: it is a URL, which may hold a password that dvc.lock would store, or
            no path at all.
    """
    if "\0" in path:
        raise PydanticCustomError("path", "A path cannot contain a null character")
    if "://" in path:
        raise PydanticCustomError(
            "url", "A URL is not allowed. Fetch the file with `dvc import-url`, and name that file"
        )
    return path


Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's legacy generators and Keras take 32 bits
Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(min_length=1)]
FilePath = Annotated[str, Field(min_length=1), AfterValidator(require_path)]
Label = Annotated[str, BeforeValidator(normalize_label)]


CustomValue = bool | int | float | str | list[bool | int | float | str]


class StrictModel(BaseModel):
    """A Pydantic model that refuses unknown keys and values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SyntheticParams(StrictModel):
    """The section `fetch.synthetic`."""

    seed: Seed = 0
    train_reviews: Annotated[int, Field(ge=100, le=1_000_000)] = 16_000
    test_reviews: Annotated[int, Field(ge=100, le=1_000_000)] = 4_000
    cue_distance: Annotated[int, Field(ge=15, le=1_000)] = 25


class TableParams(StrictModel):
    """The section `fetch.table`."""

    train: FilePath = "data/example.csv"
    test: FilePath = "data/example.csv"
    test_share: Share = 0.2
    text: Name = "text"
    label: Name = "label"
    id: str = ""
    positive: Label = ""
    tokenizer: Literal["keras", "unicode"] = "keras"


class FetchParams(StrictModel):
    """The section `fetch`."""

    dataset: Literal["imdb", "synthetic", "table"] = "imdb"
    synthetic: SyntheticParams = SyntheticParams()
    table: TableParams = TableParams()

    @property
    def dataset_name(self) -> str:
        """The dataset's name, which a table has from its file."""
        return PurePath(self.table.train).name if self.dataset == "table" else self.dataset

    @property
    def table_path(self) -> str:
        """The path of the training table, or "" if the dataset is no table."""
        return normpath(self.table.train) if self.dataset == "table" else ""

    def used(self) -> "FetchParams":
        """Return these params with the defaults of all that the dataset does not read."""
        changes: dict[str, Any] = {}
        if self.dataset != "synthetic":
            changes["synthetic"] = SyntheticParams()
        if self.dataset != "table":
            changes["table"] = TableParams()
        return self.model_copy(update=changes)

    @property
    def tokenizer(self) -> str:
        """The name of the dataset's tokenizer, see `sentiment.text.tokenizer`."""
        return self.table.tokenizer if self.dataset == "table" else KERAS


class PadParams(StrictModel):
    """The section `pad`."""

    num_words: Annotated[int, Field(ge=INDEX_FROM + 2, le=1_000_000)] = 10_000
    max_length: Annotated[int, Field(ge=1, le=10_000)] = 200
    padding: Literal["pre", "post"] = "pre"
    truncating: Literal["pre", "post"] = "pre"
    vectors: FilePath = NO_VECTORS

    @property
    def layout(self) -> Layout:
        """The layout of the reviews' rows."""
        return Layout(**self.model_dump(exclude={"vectors"}))

    @property
    def has_vectors(self) -> bool:
        """Whether the model gets pretrained word vectors."""
        return self.vectors != NO_VECTORS


class DropoutParams(StrictModel):
    """The section `train.dropout`."""

    embedding: Rate = 0.0
    input: Rate = 0.0
    recurrent: Rate = 0.0
    head: Rate = 0.0


class LinearParams(StrictModel):
    """The section `train.linear`."""

    ngrams: Annotated[int, Field(ge=1, le=3)] = 3
    max_features: Annotated[int, Field(ge=1, le=2**20)] = 800_000
    ending: Annotated[float, Field(ge=0, le=1)] = 0.25
    min_reviews: Count = 2


class TrainParams(StrictModel):
    """The section `train`."""

    architecture: Literal["recurrent", "linear", "custom"] = "recurrent"
    embedding_units: Annotated[int, Field(ge=1, le=4096)] = 64
    freeze_vectors: bool = False
    cell: Literal["lstm", "gru", "simple_rnn"] = "lstm"
    units: Annotated[int, Field(ge=1, le=4096)] = 64
    layers: Annotated[int, Field(ge=1, le=16)] = 1
    bidirectional: bool = False
    mask_padding: bool = False
    pooling: Literal["last", "max", "mean"] = "last"
    dropout: DropoutParams = DropoutParams()
    linear: LinearParams = LinearParams()
    custom: dict[str, CustomValue] = {}
    class_weight: Literal["none", "balanced"] = "none"
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.001
    schedule: Literal["constant", "cosine"] = "constant"
    global_clipnorm: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    epochs: Annotated[int, Field(ge=1, le=1000)] = 5
    batch_size: Count = 64
    validation_split: Share = 0.2
    patience: Annotated[int, Field(ge=0, le=1000)] = 0
    seed: Seed = 42


class EvaluateParams(StrictModel):
    """The section `evaluate`."""

    threshold: Share = 0.5
    log_texts: bool = True


class Params(StrictModel):
    """The content of params.yaml."""

    fetch: FetchParams = FetchParams()
    pad: PadParams = PadParams()
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()


def flatten(section: BaseModel, prefix: str) -> dict[str, Any]:
    """Return a section's values by dotted names that start with `prefix`."""
    flat: dict[str, Any] = {}
    for key, value in section:
        name = f"{prefix}.{key}"
        flat |= flatten(value, name) if isinstance(value, BaseModel) else {name: value}
    return flat


def expand(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted name, with one name for each entry of a mapping."""
    expanded: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            expanded |= {f"{name}.{key}": entry for key, entry in value.items()}
        else:
            expanded[name] = value
    return expanded


def changed_but_unread(pad: PadParams, train: TrainParams) -> list[str]:
    """Return the dotted names of params that differ from their defaults, but are not read."""
    defaults = flatten(TrainParams(), "train")
    read = used_model_params(pad, train)
    values = expand(flatten(train, "train")).items()
    return [name for name, value in values if name not in read and value != defaults.get(name)]


def used_params(fetch: FetchParams, pad: PadParams, train: TrainParams) -> dict[str, Any]:
    """Return, by dotted name, the params that the dataset and the architecture read."""
    return used_fetch_params(fetch) | used_model_params(pad, train)


def used_fetch_params(fetch: FetchParams) -> dict[str, Any]:
    """Return, by dotted name, the params of `fetch` that the dataset reads."""
    used: dict[str, Any] = {"fetch.dataset": fetch.dataset}
    if fetch.dataset == "synthetic":
        used |= flatten(fetch.synthetic, "fetch.synthetic")
    if fetch.dataset == "table":
        used |= flatten(fetch.table, "fetch.table")
    return used


def used_model_params(pad: PadParams, train: TrainParams) -> dict[str, Any]:
    """Return, by dotted name, the params of `pad` and `train` that the architecture reads.

    The vectors are one of them if there are any. Then their size is that of the embedding.
    """
    unused = {f"train.{name}" for name in ("linear", "custom") if name != train.architecture}
    if train.architecture != "recurrent":
        unused |= {f"train.{name}" for name in RECURRENT_PARAMS}
    if pad.has_vectors:
        unused.add("train.embedding_units")
    else:
        unused |= {"pad.vectors", "train.freeze_vectors"}
    values = expand(flatten(pad, "pad") | flatten(train, "train")).items()
    return {name: value for name, value in values if ".".join(name.split(".")[:2]) not in unused}


def merge_params(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested values with changes, which may be nested."""
    merged = dict(values)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_params(merged[key], value) if both else value
    return merged
