"""The key of a training is of all that its bits depend on; its repetition key is of less."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sentiment.params import TrainParams
from tests.project import ROOT
from workflow import training_key
from workflow.training_key import training_keys

DVC_YAML = """
stages:
  train:
    deps: [data/pad, stages/train.py, network]
"""
Change = Callable[[pytest.MonkeyPatch], None]
MACHINES: dict[str, Change] = {
    "processor": lambda patch: patch.setattr(training_key, "processor_name", lambda: "Other CPU"),
    "cores": lambda patch: patch.setattr(training_key, "usable_cores", lambda: 99),
    "packages": lambda patch: patch.setattr(
        training_key, "package_versions", lambda: {"keras": "0.1"}
    ),
    "XLA": lambda patch: patch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=128"),
    "GPU": lambda patch: patch.setattr(
        "tensorflow.config.list_physical_devices", lambda *_: ["GPU:0"]
    ),
}


@pytest.fixture
def stage(in_tmp_path: Path) -> Path:
    """Make a folder with all that the stage `train` depends on."""
    (in_tmp_path / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    shutil.copy(ROOT / ".dvcignore", in_tmp_path)
    for path in ("data/pad/x_train.npy", "stages/train.py", "network/model.py"):
        (in_tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (in_tmp_path / path).write_text(path, encoding="utf-8")
    return in_tmp_path


@pytest.mark.slow
def test_files_that_are_no_code_do_not_count(stage: Path) -> None:
    before = training_keys(TrainParams())
    for ignored in ("network/__pycache__/model.pyc", "network/.model.py.swp", "data/pad/.DS_Store"):
        (stage / ignored).parent.mkdir(exist_ok=True)
        (stage / ignored).touch()
    assert training_keys(TrainParams()) == before


@pytest.mark.slow
@pytest.mark.parametrize("path", ["data/pad/x_train.npy", "stages/train.py", "network/new.py"])
def test_other_data_or_code_has_another_key_and_another_repetition_key(
    stage: Path, path: str
) -> None:
    before = training_keys(TrainParams())
    (stage / path).write_text("changed", encoding="utf-8")
    after = training_keys(TrainParams())
    assert after.key != before.key
    assert after.repetition_key != before.repetition_key


@pytest.mark.slow
@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("params", [TrainParams(units=32), TrainParams(epochs=6)])
def test_other_params_have_another_key_and_another_repetition_key(params: TrainParams) -> None:
    before = training_keys(TrainParams())
    after = training_keys(params)
    assert after.key != before.key
    assert after.repetition_key != before.repetition_key


@pytest.mark.slow
@pytest.mark.usefixtures("stage")
def test_a_param_that_the_architecture_does_not_read_changes_no_repetition_key() -> None:
    linear = TrainParams(architecture="linear")
    other = linear.model_copy(update={"units": 65})
    assert training_keys(other).repetition_key == training_keys(linear).repetition_key


@pytest.mark.usefixtures("stage")
def test_another_seed_has_another_key_but_the_same_repetition_key() -> None:
    before = training_keys(TrainParams(seed=42))
    after = training_keys(TrainParams(seed=43))
    assert after.key != before.key
    assert after.repetition_key == before.repetition_key


@pytest.mark.slow
@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("machine", MACHINES)
def test_another_machine_has_another_key_but_the_same_repetition_key(
    monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    before = training_keys(TrainParams())
    MACHINES[machine](monkeypatch)
    after = training_keys(TrainParams())
    assert after.key != before.key
    assert after.repetition_key == before.repetition_key


def test_a_processor_without_a_name_is_called_after_its_architecture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_key, "CPU_INFO", Path("absent"))
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert training_key.processor_name() == "arm64"
