"""What each folder of `data/` depends on: its `inputs.json`.

Each stage writes the params of its own section and of earlier ones, and the digests that identify
its files.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from sentiment.params import (
    EvaluateParams,
    FetchParams,
    PadParams,
    Section,
    TrainParams,
    flatten_used,
)
from workflow.documents import damaged_error, read_json, write_json
from workflow.paths import INPUTS


class FetchInputs(Section):
    """The inputs of `data/fetch`.

    Attributes:
        label_names: the names of the labels, in the order of their indices.
        test_set_digest: digest of the texts of the test set and their labels, see
            `sentiment.data.table.EncodedDataset`.
        dataset_digest: digest of the arrays and the words.
    """

    fetch: FetchParams
    label_names: list[str]
    test_set_digest: str
    dataset_digest: str


class PadInputs(FetchInputs):
    """The inputs of `data/pad`."""

    pad: PadParams


class TrainingInputs(PadInputs):
    """The inputs of a training.

    Attributes:
        training_key: digest of what identifies the training, see `workflow.training_key`.
        repetition_key: the same without the seed.
    """

    train: TrainParams
    training_key: str
    repetition_key: str


class ModelInputs(TrainingInputs):
    """The inputs of `data/train`.

    Attributes:
        model_digest: SHA-256 digest of `model.keras`.
    """

    model_digest: str


class EvaluateInputs(ModelInputs):
    """The inputs of `data/evaluate`."""

    evaluate: EvaluateParams

    def run_params(self) -> dict[str, str]:
        """Return the params that the predictions depend on, as texts by dotted names."""
        used = flatten_used(self.fetch, self.pad, self.train)
        used["evaluate.threshold"] = self.evaluate.threshold
        return {name: str(value) for name, value in used.items()}


ModelT = TypeVar("ModelT", bound=BaseModel)


class ComparedThreshold(BaseModel):
    """The params of an evaluation by which versions are compared."""

    threshold: float


class ComparedInputs(BaseModel):
    """The inputs by which versions are compared. Other code may have written further ones."""

    test_set_digest: str
    repetition_key: str
    evaluate: ComparedThreshold


def write_inputs(folder: Path, inputs: FetchInputs) -> None:
    """Write what a folder of `data/` depends on."""
    write_json(folder / INPUTS, inputs.model_dump())


def read_inputs(folder: Path, kind: type[ModelT]) -> ModelT:
    """Read what a folder of `data/` depends on.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / INPUTS
    document = read_json(path)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise damaged_error(path, error) from None
