"""The JSON files that say what arrays and models are: `dataset.json`, `config.json`, `run.json`."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from sentiment.params import (
    FetchParams,
    StrictModel,
    TrainingParams,
    VectorsFile,
    used_fetch_params,
)
from sentiment.project.files.documents import damaged_error, read_json, replacing, write_json
from sentiment.project.files.paths import DATASET_FILE, Project
from sentiment.text.model_files import CONFIG_FILE, ModelConfig
from sentiment.text.padding import Layout


class FetchedDataset(StrictModel):
    """The dataset in `data/fetch`.

    Attributes:
        fetch: the params that it was made with.
        label_names: the names of the labels, in the order of their indices.
        test_set_digest: see `sentiment.data.encoded.EncodedDataset`.
    """

    fetch: FetchParams
    label_names: list[str]
    test_set_digest: str

    @property
    def is_table(self) -> bool:
        """Whether the dataset is a table of one's own texts, to which stages fit a model."""
        return self.fetch.dataset == "table"


class PaddedDataset(FetchedDataset):
    """The dataset in `data/pad`.

    Attributes:
        num_words: as in params.yaml, like `max_length`, `padding`, `truncating` and `vectors`.
        length: number of tokens in a row.
        median_words: half of the training texts have at most as many words.
    """

    num_words: int
    max_length: int
    length: int
    padding: Literal["pre", "post"]
    truncating: Literal["pre", "post"]
    vectors: VectorsFile
    median_words: float

    @property
    def layout(self) -> Layout:
        """The layout of the rows."""
        return Layout(self.num_words, self.length, self.padding, self.truncating)

    def is_made_with(self, training: TrainingParams) -> bool:
        """Return whether the stage `pad` would make this dataset with these params."""
        section = training.section
        wanted = section.layout(section.max_length)
        own = replace(self.layout, max_length=self.max_length)
        return own == wanted and self.vectors == training.vectors

    def config(self) -> ModelConfig:
        """Return the config of a model that is trained on this dataset."""
        return ModelConfig(
            dataset=self.fetch.dataset_name,
            label_names=self.label_names,
            tokenizer=self.fetch.tokenizer,
            layout=self.layout,
        )


class RunRecord(StrictModel):
    """The MLflow run of a training, and what it takes to make a truthful copy of the run.

    Attributes:
        run_id: the id that MLflow chose.
        fetch: the params of its dataset.
        training: what it was trained with, as params.yaml has it.
        fitted: the values that the stages chose for a table, by their names.
        tags: the tags that the run began with: its name and where the training comes from.
        diff: the uncommitted changes of code and params.
        padded_digest: the digest of `data/pad`.
        trained_digest: the digest of `data/train`. "": the training has not ended.
    """

    run_id: str
    fetch: FetchParams
    training: TrainingParams
    fitted: dict[str, int | float]
    tags: dict[str, str]
    diff: str
    padded_digest: str
    trained_digest: str = ""

    def params(self) -> dict[str, str]:
        """Return the params that the training depends on, as texts by dotted names."""
        fitted = {f"fitted.{name}": value for name, value in self.fitted.items()}
        used = self.training.logged() | used_fetch_params(self.fetch) | fitted
        return {name: str(value) for name, value in used.items()}

    def document(self) -> dict[str, Any]:
        """Return the params that the training depends on, as params.yaml has them."""
        return self.training.document() | {"fetch": self.fetch.model_dump()}


RecordT = TypeVar("RecordT", bound=BaseModel)


def write_record(path: Path, record: BaseModel) -> None:
    """Write a record as JSON in place of an earlier one, all at once."""
    with replacing(path) as partial:
        write_json(partial, record.model_dump())


def read_record(path: Path, kind: type[RecordT]) -> RecordT:
    """Read a record.

    Raises:
        UserError: the file is missing or damaged.
    """
    document = read_json(path)
    try:
        return kind.model_validate(document)
    except ValidationError:
        reason = ValueError("another release of this project may have written it")
        raise damaged_error(path, reason) from None


def read_padded_dataset(project: Project) -> PaddedDataset:
    """Read what the dataset in `data/pad` is."""
    return read_record(project.padded / DATASET_FILE, PaddedDataset)


def read_run_record(project: Project) -> RunRecord:
    """Read which run has the training in `data/train`."""
    return read_record(project.run_file, RunRecord)


def read_model_config(project: Project) -> ModelConfig:
    """Read the config of the model in `data/train`.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = project.trained / CONFIG_FILE
    document = read_json(path)
    try:
        return ModelConfig.from_document(document)
    except (KeyError, TypeError) as error:
        raise damaged_error(path, error) from None
