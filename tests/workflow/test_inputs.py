"""The inputs of a folder are read back with their types."""

import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams, PadParams, TableParams
from workflow.documents import new_folder
from workflow.inputs import FetchInputs, PadInputs, read_inputs, write_inputs
from workflow.paths import FETCH_FOLDER, PAD_FOLDER

FETCHED = FetchInputs(
    fetch=FetchParams(dataset="synthetic", table=TableParams(positive="positive")),
    label_names=["bad", "good"],
    test_set_digest="0123",
    dataset_digest="4567",
)
PADDED = PadInputs(**dict(FETCHED), pad=PadParams(max_length=40))


@pytest.mark.usefixtures("in_tmp_path")
def test_inputs_are_read_back_with_their_types() -> None:
    write_inputs(new_folder(PAD_FOLDER), PADDED)
    assert read_inputs(PAD_FOLDER, PadInputs) == PADDED


@pytest.mark.usefixtures("in_tmp_path")
def test_inputs_of_another_stage_are_damage() -> None:
    write_inputs(new_folder(FETCH_FOLDER), FETCHED)
    with pytest.raises(UserError, match=r"data/fetch/inputs\.json is damaged"):
        read_inputs(FETCH_FOLDER, PadInputs)
