"""All params of the pipeline: a class for each kind of section, a line for each param.

The comments in params.yaml say what the params mean.
"""

from os.path import normpath
from pathlib import PurePath
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from sentiment.text.labels import normalize_label
from sentiment.text.padding import INDEX_FROM, Layout
from sentiment.text.tokenizer import KERAS

# What params.yaml has for no vectors: DVC accepts no empty path. In the program it is "".
NO_VECTORS = "data/no-vectors.txt"
MODEL_NAME = r"^[a-z][a-z0-9_]*$"  # of a section: DVC takes a dot for the end of its name


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
VectorsFile = Annotated[
    str,
    AfterValidator(require_path),
    AfterValidator(lambda path: "" if path == NO_VECTORS else path),
    PlainSerializer(lambda path: path or NO_VECTORS),
]
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
        """The name of the dataset's tokenizer."""
        return self.table.tokenizer if self.dataset == "table" else KERAS


class DropoutParams(StrictModel):
    """The section `dropout` of a recurrent network."""

    embedding: Rate
    input: Rate
    recurrent: Rate
    head: Rate


class ModelParams(StrictModel):
    """What the sections of all models have."""

    architecture: str
    num_words: Annotated[int, Field(ge=INDEX_FROM + 2, le=1_000_000)]
    max_length: Annotated[int, Field(ge=1, le=10_000)]
    padding: Literal["pre", "post"]
    truncating: Literal["pre", "post"]
    class_weight: Literal["none", "balanced"]
    optimizer: Literal["adam", "rmsprop", "sgd"]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    schedule: Literal["constant", "cosine"]
    global_clipnorm: Annotated[float, Field(ge=0, le=1_000_000)]
    epochs: Annotated[int, Field(ge=1, le=1000)]
    batch_size: Count
    min_steps: Annotated[int, Field(ge=0, le=1_000_000)]
    validation_split: Share
    patience: Annotated[int, Field(ge=0, le=1000)]

    def layout(self, length: int) -> Layout:
        """Return the layout of rows of this length, in tokens."""
        return Layout(self.num_words, length, self.padding, self.truncating)


class RecurrentParams(ModelParams):
    """A section with `architecture: recurrent`."""

    architecture: Literal["recurrent"]
    embedding_units: Annotated[int, Field(ge=1, le=4096)]
    freeze_vectors: bool
    cell: Literal["lstm", "gru", "simple_rnn"]
    units: Annotated[int, Field(ge=1, le=4096)]
    layers: Annotated[int, Field(ge=1, le=16)]
    bidirectional: bool
    mask_padding: bool
    pooling: Literal["last", "max", "mean"]
    dropout: DropoutParams


class LinearParams(ModelParams):
    """A section with `architecture: linear`."""

    architecture: Literal["linear"]
    ngrams: Annotated[int, Field(ge=1, le=3)]
    max_features: Annotated[int, Field(ge=1, le=2**20)]
    ending: Annotated[float, Field(ge=0, le=1)]
    min_reviews: Count


class CustomParams(ModelParams):
    """A section with `architecture: custom`."""

    architecture: Literal["custom"]
    network: dict[str, CustomValue]


AnyModel = RecurrentParams | LinearParams | CustomParams
ARCHITECTURES: dict[str, type[ModelParams]] = {
    get_args(kind.model_fields["architecture"].annotation)[0]: kind for kind in get_args(AnyModel)
}
ModelSection = Annotated[AnyModel, Field(discriminator="architecture")]


class TrainingParams(StrictModel):
    """What a model is trained with.

    Attributes:
        model: the name of the section that is trained.
        section: this section.
        vectors: the file of pretrained word vectors, or "" for none.
    """

    model: str
    seed: Seed
    vectors: VectorsFile
    section: ModelSection

    def logged(self) -> dict[str, Any]:
        """Return the params that the training reads, by dotted names without the section's."""
        values = {"model": self.model, "seed": self.seed, **flatten(self.section)}
        if self.vectors:
            values["vectors"] = self.vectors
            values.pop("embedding_units", None)  # the vectors have a size
        else:
            values.pop("freeze_vectors", None)
        return values

    def document(self) -> dict[str, Any]:
        """Return these params as params.yaml has them."""
        named = self.model_dump(include={"model", "seed", "vectors"})
        return named | {self.model: self.section.model_dump()}


class EvaluateParams(StrictModel):
    """The section `evaluate`."""

    threshold: Share
    log_texts: bool


class Params(StrictModel):
    """The content of params.yaml. All sections that are not listed here are models."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ModelSection]

    model: str
    seed: Seed
    fetch: FetchParams
    vectors: VectorsFile
    evaluate: EvaluateParams

    @property
    def models(self) -> dict[str, AnyModel]:
        """The sections of the models by their names."""
        return self.__pydantic_extra__

    @property
    def training(self) -> TrainingParams:
        """What the model that `model` names is trained with."""
        return TrainingParams(
            model=self.model,
            seed=self.seed,
            vectors=self.vectors,
            section=self.models[self.model],
        )


def flatten(section: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Return a section's values by dotted names that start with `prefix`."""
    return flatten_mapping(section.model_dump(), prefix)


def flatten_mapping(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted names that start with `prefix`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten_mapping(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def used_fetch_params(fetch: FetchParams) -> dict[str, Any]:
    """Return, by dotted name, the params of `fetch` that the dataset reads."""
    used: dict[str, Any] = {"fetch.dataset": fetch.dataset}
    if fetch.dataset == "synthetic":
        used |= flatten(fetch.synthetic, "fetch.synthetic.")
    if fetch.dataset == "table":
        used |= flatten(fetch.table, "fetch.table.")
    return used
