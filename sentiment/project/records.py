"""The JSON files that say what arrays and models are: `dataset.json`, `config.json`, `run.json`."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from sentiment.data.lengths import TextLengths
from sentiment.params import FetchParams, PadParams, StrictModel, TrainParams, used_params
from sentiment.project.documents import damaged_error, read_json, replacing, write_json
from sentiment.project.paths import DATASET_FILE, Project
from sentiment.text.model_files import CONFIG_FILE, ModelConfig


class FetchedDataset(StrictModel):
    """The dataset in `data/fetch`.

    Attributes:
        fetch: the params that it was made with.
        label_names: the names of the labels, in the order of their indices.
        lengths: the lengths of the training texts.
        test_set_digest: see `sentiment.data.encoded.EncodedDataset`.
    """

    fetch: FetchParams
    label_names: list[str]
    lengths: TextLengths
    test_set_digest: str

    @property
    def fitted_lengths(self) -> TextLengths | None:
        """The lengths to which params are fitted, or None if the dataset is not a table."""
        return self.lengths if self.fetch.dataset == "table" else None


class PaddedDataset(FetchedDataset):
    """The dataset in `data/pad`."""

    pad: PadParams

    def config(self) -> ModelConfig:
        """Return the config of a model that is trained on this dataset."""
        return ModelConfig(
            dataset=self.fetch.dataset_name,
            label_names=self.label_names,
            tokenizer=self.fetch.tokenizer,
            layout=self.pad.layout,
        )


class RunRecord(StrictModel):
    """The MLflow run of a training, and what it takes to make a truthful copy of the run.

    Attributes:
        run_id: the id that MLflow chose.
        fetch: the params that it was trained with, and `pad` and `train` likewise.
        tags: the tags that the run began with: its name and where the training comes from.
        diff: the uncommitted changes, see `sentiment.project.provenance`.
        padded_digest: the digest of `data/pad`.
        trained_digest: the digest of `data/train`. "": the training has not ended.
    """

    run_id: str
    fetch: FetchParams
    pad: PadParams
    train: TrainParams
    tags: dict[str, str]
    diff: str
    padded_digest: str
    trained_digest: str = ""

    def params(self) -> dict[str, str]:
        """Return the params that the training depends on, as texts by dotted names."""
        used = used_params(self.fetch, self.pad, self.train)
        return {name: str(value) for name, value in used.items()}


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
    except ValidationError as error:
        raise damaged_error(path, error) from None


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
