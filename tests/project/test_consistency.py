"""`data/` has to have the training that params, arrays and code describe, and its model."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sentiment.project.consistency import check_training
from sentiment.project.manifest import (
    ModelManifest,
    PadManifest,
    read_manifest,
    write_manifest,
)
from sentiment.project.training_key import training_keys

from sentiment.errors import UserError
from sentiment.params import TrainParams
from sentiment.project import paths
from sentiment.project.digests import file_digest
from sentiment.project.documents import new_folder
from sentiment.project.paths import FETCH_FOLDER, PAD_FOLDER
from tests.project.conftest import ARRAY, FETCHED, PARAMS


@pytest.fixture
def trained(stage: Path) -> ModelManifest:  # noqa: ARG001
    """Write the model of a training, and return the manifest of `data/train`."""
    new_folder(paths.TRAIN_FOLDER)
    paths.MODEL_FILE.write_bytes(b"the model")
    padded = read_manifest(PAD_FOLDER, PadManifest)
    keys = training_keys(PARAMS)._asdict()
    model_digest = file_digest(paths.MODEL_FILE)
    return ModelManifest(**dict(padded), train=PARAMS, **keys, model_digest=model_digest)


def test_the_training_that_params_arrays_and_code_describe_is_accepted(
    trained: ModelManifest,
) -> None:
    check_training(trained, PARAMS)


def test_arrays_that_were_made_from_another_dataset_are_refused(trained: ModelManifest) -> None:
    """A table may be edited in place, so that its name and its params stay."""
    changed = FETCHED.model_copy(update={"dataset_digest": "89ab"})
    write_manifest(FETCH_FOLDER, changed)
    with pytest.raises(UserError, match=r"^data/pad was made from another data/fetch\. Run `dvc "):
        check_training(trained, PARAMS)


def write_other_array() -> TrainParams:
    ARRAY.write_text("changed", encoding="utf-8")
    return PARAMS


def write_other_code() -> TrainParams:
    Path("network/model.py").write_text("changed", encoding="utf-8")
    return PARAMS


@pytest.mark.parametrize(
    "change", [write_other_array, write_other_code, lambda: TrainParams(seed=43)]
)
def test_another_training_is_refused(
    trained: ModelManifest, change: Callable[[], TrainParams]
) -> None:
    params = change()
    with pytest.raises(UserError, match=r"^data/train has another training .*Run `dvc repro`"):
        check_training(trained, params)


def test_a_model_that_was_copied_from_another_training_is_refused(trained: ModelManifest) -> None:
    paths.MODEL_FILE.write_bytes(b"another model")
    with pytest.raises(UserError, match=r"^data/train/model\.keras is not the model that the"):
        check_training(trained, PARAMS)
