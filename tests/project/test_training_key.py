"""The key of a training is of its params, arrays and code."""

from pathlib import Path

import pytest
from sentiment.project.training_key import training_keys

from sentiment.params import TrainParams
from tests.project.conftest import ARRAY, PARAMS


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
