"""The manifest of a folder is read back with its types."""

import pytest
from sentiment.project.manifest import FetchManifest, PadManifest, read_manifest, write_manifest

from sentiment.errors import UserError
from sentiment.params import FetchParams, PadParams, TableParams
from sentiment.project.documents import new_folder
from sentiment.project.paths import FETCH_FOLDER, PAD_FOLDER

FETCHED = FetchManifest(
    fetch=FetchParams(dataset="synthetic", table=TableParams(positive="positive")),
    label_names=["bad", "good"],
    test_set_digest="0123",
    dataset_digest="4567",
)
PADDED = PadManifest(**dict(FETCHED), pad=PadParams(max_length=40))


@pytest.mark.usefixtures("in_tmp_path")
def test_a_manifest_is_read_back_with_its_types() -> None:
    write_manifest(new_folder(PAD_FOLDER), PADDED)
    assert read_manifest(PAD_FOLDER, PadManifest) == PADDED


@pytest.mark.usefixtures("in_tmp_path")
def test_the_manifest_of_another_stage_is_damage() -> None:
    write_manifest(new_folder(FETCH_FOLDER), FETCHED)
    with pytest.raises(UserError, match=r"data/fetch/manifest\.json is damaged"):
        read_manifest(FETCH_FOLDER, PadManifest)
