"""The key of a training is of its params, arrays and code."""

from pathlib import Path

import pytest

from sentiment.params import FetchParams, PadParams, TrainParams
from workflow.documents import new_folder
from workflow.manifest import (
    FetchManifest,
    PadManifest,
    write_manifest,
)
from workflow.paths import FETCH_FOLDER, PAD_FOLDER
from workflow.training_key import training_keys

DVC_YAML = """
stages:
  train:
    deps: [data/pad, stages/train.py, network]
"""
FETCHED = FetchManifest(
    fetch=FetchParams(), label_names=["bad", "good"], test_set_digest="0123", dataset_digest="4567"
)
ARRAY = PAD_FOLDER / "x_train.npy"
PARAMS = TrainParams()


@pytest.fixture
def stage(in_tmp_path: Path) -> Path:
    """Make a folder with all that the stage `train` depends on."""
    Path("dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    write_manifest(new_folder(FETCH_FOLDER), FETCHED)
    write_manifest(new_folder(PAD_FOLDER), PadManifest(**dict(FETCHED), pad=PadParams()))
    for path in (ARRAY, Path("stages/train.py"), Path("network/model.py")):
        path.parent.mkdir(exist_ok=True)
        path.write_text("before", encoding="utf-8")
    return in_tmp_path


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("path", [str(ARRAY), "stages/train.py", "network/new.py"])
def test_other_arrays_or_code_have_another_key_and_another_repetition_key(path: str) -> None:
    before = training_keys(PARAMS)
    Path(path).write_text("changed", encoding="utf-8")
    after = training_keys(PARAMS)
    assert after.training_key != before.training_key
    assert after.repetition_key != before.repetition_key


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("params", [TrainParams(units=32), TrainParams(epochs=6)])
def test_other_params_have_another_key_and_another_repetition_key(params: TrainParams) -> None:
    before = training_keys(PARAMS)
    after = training_keys(params)
    assert after.training_key != before.training_key
    assert after.repetition_key != before.repetition_key


@pytest.mark.usefixtures("stage")
def test_another_seed_changes_the_key_alone() -> None:
    before = training_keys(TrainParams(seed=42))
    after = training_keys(TrainParams(seed=43))
    assert after.training_key != before.training_key
    assert after.repetition_key == before.repetition_key
