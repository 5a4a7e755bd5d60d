"""Presets are compared with the params that a training uses."""

from pathlib import Path

import pytest

from sentiment.errors import UserError
from sentiment.project.paths import Project
from sentiment.project.presets import (
    apply_preset,
    differences,
    find_nearest_preset,
    valid_presets,
)
from tests.small_project import ROOT

HERE = Project(ROOT, ROOT)


@pytest.fixture
def presets(in_tmp_path: Path) -> Path:
    """Return a folder for presets, which has one."""
    folder = in_tmp_path / "presets"
    folder.mkdir()
    (folder / "wide.yaml").write_text("train: {units: 128}\n", encoding="utf-8")
    return folder


def names_of_valid_presets(project: Project) -> list[str]:
    return [preset.name for preset in valid_presets(project)]


def test_the_presets_of_the_project_are_valid_and_the_default_comes_first() -> None:
    assert names_of_valid_presets(HERE) == ["default", "custom", "linear", "lstm", "vectors"]


def test_params_that_the_architecture_does_not_read_are_no_differences() -> None:
    presets = {preset.name: preset for preset in valid_presets(HERE)}
    default = presets["default"]
    linear = presets["linear"]
    assert differences(linear, linear.pad, linear.train.model_copy(update={"cell": "gru"})) == {}
    features = default.train.linear.model_copy(update={"ngrams": 1})
    changed = default.train.model_copy(update={"linear": features, "units": 5})
    assert differences(default, default.pad, changed) == {"train.units": 5}


def test_a_preset_is_found_whatever_was_fitted_to_a_table_and_whatever_the_seed() -> None:
    presets = valid_presets(HERE)
    linear = next(preset for preset in presets if preset.name == "linear")
    pad = linear.pad.model_copy(update={"max_length": 33})
    fitted = linear.train.model_copy(update={"batch_size": 10, "epochs": 5, "seed": 7})
    assert find_nearest_preset(presets, pad, fitted) == linear
    faster = fitted.model_copy(update={"learning_rate": 0.5})
    assert find_nearest_preset(presets, pad, faster) == linear


def test_a_preset_with_word_vectors_is_not_that_of_a_training_without(presets: Path) -> None:
    (presets / "a.yaml").write_text("pad: {vectors: own.txt}\n", encoding="utf-8")
    found = valid_presets(Project(presets.parent, presets.parent))
    default = next(preset for preset in found if preset.name == "default")
    assert find_nearest_preset(found[::-1], default.pad, default.train) == default


@pytest.mark.parametrize(
    "content", [b"train: [", b"train: {units: 0}", b"fetch: {}", b"- train", b"\xff"]
)
def test_an_invalid_preset_is_left_out(presets: Path, content: bytes) -> None:
    (presets / "invalid.yaml").write_bytes(content)
    assert names_of_valid_presets(Project(presets.parent, presets.parent)) == ["default", "wide"]


def test_a_preset_with_word_vectors_needs_their_file(in_tmp_path: Path) -> None:
    for name in ("params.yaml", "presets"):
        (in_tmp_path / name).symlink_to(ROOT / name)
    with pytest.raises(UserError, match=r"no file vectors\.txt.* --vectors.*GloVe"):
        apply_preset(Project(in_tmp_path, in_tmp_path), "vectors")
