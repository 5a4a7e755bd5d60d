"""`make preset` writes all values of a preset, keeps the comments, and goes back."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sentiment.section import flatten
from tests.conftest import Caller
from tests.project import DEFAULT_PARAMS, ROOT, change_params
from tools import preset
from workflow.params import Params, load_params

PRESETS = sorted(path.stem for path in (ROOT / preset.FOLDER).glob("*.yaml"))


@pytest.fixture
def root(in_tmp_path: Path) -> Path:
    """Return a folder with the shipped params and presets."""
    shutil.copy(DEFAULT_PARAMS, in_tmp_path / "params.yaml")
    shutil.copytree(ROOT / preset.FOLDER, in_tmp_path / preset.FOLDER)
    return in_tmp_path


def tunable_values(params: Params) -> dict[str, Any]:
    return flatten(params.pad, "pad") | flatten(params.train, "train")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("name", [name for name in PRESETS if name != preset.DEFAULT])
def test_other_presets_have_only_what_differs_and_are_written_and_undone(
    name: str, call: Caller, default_params: Params
) -> None:
    own = preset.read_preset(name)
    values = tunable_values(default_params)
    assert all(value != values[key] for key, value in own.items())
    output = call(preset.main, "--name", name)
    assert tunable_values(load_params()) == values | own
    assert len(output.splitlines()) == len(own)
    call(preset.main, "--name", preset.DEFAULT)
    assert load_params() == default_params
    # The comments are where they were, too.
    assert Path("params.yaml").read_bytes() == DEFAULT_PARAMS.read_bytes()


def test_default_keeps_the_dataset_and_the_evaluation(root: Path, call: Caller) -> None:
    own = {"fetch": {"dataset": "table"}, "evaluate": {"threshold": 0.4}}
    change_params(root / "params.yaml", {**own, "train": {"epochs": 9}})
    assert call(preset.main, NAME="default") == "train.epochs: 9 -> 5\n"
    params = load_params()
    assert (params.fetch.dataset, params.evaluate.threshold) == ("table", 0.4)


def test_preset_replaces_a_value_of_your_own(root: Path, call: Caller) -> None:
    (root / "presets" / "small.yaml").write_text("train: {units: 8}", encoding="utf-8")
    change_params(root / "params.yaml", {"train": {"epochs": 9}})
    assert call(preset.main, NAME="small") == "train.units: 64 -> 8\ntrain.epochs: 9 -> 5\n"
    assert "already" in call(preset.main, NAME="small")


@pytest.mark.usefixtures("root")
def test_unknown_preset_is_one_message_with_the_names_that_exist(call: Caller) -> None:
    message = call.fail(preset.main, "--name", "mine")
    assert message == (
        f"presets/mine.yaml does not exist. Use one of these names: {', '.join(PRESETS)}."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {unit: 8}", "presets/mine.yaml: train.unit is not a param of pad or train"),
        ("evaluate: {threshold: 0.4}", "evaluate.threshold is not a param of pad or train"),
        ("- units", "presets/mine.yaml is not a mapping of params to values"),
        ("", "presets/mine.yaml is not a mapping of params to values"),
        ("1: 2", "presets/mine.yaml: 1 is not a param"),
        ("train: {units: 9, units: 8}", "presets/mine.yaml is not valid YAML"),
        ("train: [", "presets/mine.yaml is not valid YAML"),
        ("train: {units: 0}", "train.units: 0 is not allowed"),
    ],
)
def test_preset_that_is_not_valid_is_one_message_and_changes_nothing(
    root: Path, call: Caller, text: str, message: str
) -> None:
    (root / "presets" / "mine.yaml").write_text(text, encoding="utf-8")
    assert message in call.fail(preset.main, "--name", "mine")
    assert (root / "params.yaml").read_bytes() == DEFAULT_PARAMS.read_bytes()
