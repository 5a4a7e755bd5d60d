"""The key of a training is of its params, arrays and code, and `data/` has to have it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams, PadParams, TrainParams
from workflow import paths
from workflow.digests import file_digest
from workflow.documents import new_folder
from workflow.inputs import FetchInputs, ModelInputs, PadInputs, read_inputs, write_inputs
from workflow.paths import FETCH_FOLDER, PAD_FOLDER
from workflow.training_key import check_training, training_keys

DVC_YAML = """
stages:
  train:
    deps: [data/pad, stages/train.py, network]
"""
FETCHED = FetchInputs(
    fetch=FetchParams(), label_names=["bad", "good"], test_set_digest="0123", dataset_digest="4567"
)
ARRAY = PAD_FOLDER / "x_train.npy"
PARAMS = TrainParams()


@pytest.fixture
def stage(in_tmp_path: Path) -> Path:
    """Make a folder with all that the stage `train` depends on."""
    Path("dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    write_inputs(new_folder(FETCH_FOLDER), FETCHED)
    write_inputs(new_folder(PAD_FOLDER), PadInputs(**dict(FETCHED), pad=PadParams()))
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
def test_a_param_that_the_architecture_does_not_read_changes_the_key_alone() -> None:
    linear = TrainParams(architecture="linear")
    before = training_keys(linear)
    after = training_keys(linear.model_copy(update={"units": 65}))
    assert after.training_key != before.training_key
    assert after.repetition_key == before.repetition_key


@pytest.mark.usefixtures("stage")
def test_another_seed_changes_the_key_alone() -> None:
    before = training_keys(TrainParams(seed=42))
    after = training_keys(TrainParams(seed=43))
    assert after.training_key != before.training_key
    assert after.repetition_key == before.repetition_key


@pytest.mark.usefixtures("stage")
def test_another_machine_has_the_same_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = training_keys(PARAMS)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr("workflow.machine.processor_name", lambda: "Other CPU")
    monkeypatch.setattr("sentiment.backend.package_versions", dict)
    for name in ("TF_NUM_INTRAOP_THREADS", "XLA_FLAGS", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.setenv(name, "other")
    assert training_keys(PARAMS) == before


@pytest.fixture
def trained(stage: Path) -> ModelInputs:  # noqa: ARG001
    """Write the model of a training, and return the inputs of `data/train`."""
    new_folder(paths.TRAIN_FOLDER)
    paths.MODEL_FILE.write_bytes(b"the model")
    padded = read_inputs(PAD_FOLDER, PadInputs)
    keys = training_keys(PARAMS)._asdict()
    model_digest = file_digest(paths.MODEL_FILE)
    return ModelInputs(**dict(padded), train=PARAMS, **keys, model_digest=model_digest)


def test_the_training_that_params_arrays_and_code_describe_is_accepted(
    trained: ModelInputs,
) -> None:
    check_training(trained, PARAMS)


def test_arrays_that_were_made_from_another_dataset_are_refused(trained: ModelInputs) -> None:
    """A table may be edited in place, so that its name and its params stay."""
    changed = FETCHED.model_copy(update={"dataset_digest": "89ab"})
    write_inputs(FETCH_FOLDER, changed)
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
    trained: ModelInputs, change: Callable[[], TrainParams]
) -> None:
    params = change()
    with pytest.raises(UserError, match=r"^data/train has another training .*Run `dvc repro`"):
        check_training(trained, params)


def test_a_model_that_was_copied_from_another_training_is_refused(trained: ModelInputs) -> None:
    paths.MODEL_FILE.write_bytes(b"another model")
    with pytest.raises(UserError, match=r"^data/train/model\.keras is not the model that the"):
        check_training(trained, PARAMS)
