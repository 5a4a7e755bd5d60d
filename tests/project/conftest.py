"""A folder with all that the stage `train` depends on."""

from pathlib import Path

import pytest
from sentiment.project.manifest import FetchManifest, PadManifest, write_manifest

from sentiment.params import FetchParams, PadParams, TrainParams
from sentiment.project.documents import new_folder
from sentiment.project.paths import FETCH_FOLDER, PAD_FOLDER

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
