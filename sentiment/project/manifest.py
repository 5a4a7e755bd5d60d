"""The manifest of each folder of `data/`: the params and the digests that identify its files.

CONTRIBUTING.md has a table of the identities.
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
    used_params,
)
from sentiment.project.documents import damaged_error, read_json, write_json
from sentiment.project.paths import MANIFEST_NAME


class FetchManifest(Section):
    """The manifest of `data/fetch`.

    Attributes:
        label_names: the names of the labels, in the order of their indices.
        test_set_digest: see `sentiment.data.encoded.EncodedDataset`.
        dataset_digest: digest of the arrays and the words.
    """

    fetch: FetchParams
    label_names: list[str]
    test_set_digest: str
    dataset_digest: str


class PadManifest(FetchManifest):
    """The manifest of `data/pad`."""

    pad: PadParams


class TrainingManifest(PadManifest):
    """The manifest of a training that may not have ended.

    Attributes:
        training_key: digest of what identifies the training, see `sentiment.project.training_key`.
        repetition_key: the same without the seed.
    """

    train: TrainParams
    training_key: str
    repetition_key: str

    def run_params(self) -> dict[str, str]:
        """Return the params that the training depends on, as texts by dotted names."""
        used = used_params(self.fetch, self.pad, self.train)
        return {name: str(value) for name, value in used.items()}


class ModelManifest(TrainingManifest):
    """The manifest of `data/train`.

    Attributes:
        model_digest: SHA-256 digest of `model.keras`.
    """

    model_digest: str


class EvaluateManifest(ModelManifest):
    """The manifest of `data/evaluate`."""

    evaluate: EvaluateParams

    def run_params(self) -> dict[str, str]:
        """Return the params of the training and the threshold, as texts by dotted names."""
        return super().run_params() | {"evaluate.threshold": str(self.evaluate.threshold)}


ManifestT = TypeVar("ManifestT", bound=BaseModel)


class ComparedThreshold(BaseModel):
    """The params of an evaluation by which versions are compared."""

    threshold: float


class ComparedManifest(BaseModel):
    """The manifest by which versions are compared. Other code may have written further ones."""

    test_set_digest: str
    repetition_key: str
    evaluate: ComparedThreshold


def write_manifest(folder: Path, manifest: FetchManifest) -> None:
    """Write what a folder of `data/` depends on."""
    write_json(folder / MANIFEST_NAME, manifest.model_dump())


def read_manifest(folder: Path, kind: type[ManifestT]) -> ManifestT:
    """Read what a folder of `data/` depends on.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / MANIFEST_NAME
    document = read_json(path)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise damaged_error(path, error) from None
