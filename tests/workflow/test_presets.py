"""A training is found to be one of a preset, by the params that it uses."""

from pathlib import Path

import pytest

from sentiment.params import PadParams, TrainParams
from tests.project import ROOT
from workflow.presets import find_preset, preset_names, read_preset


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the project's root the working directory, to be read only."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def presets(in_tmp_path: Path) -> Path:
    """Return a folder for presets, which has one."""
    folder = in_tmp_path / "presets"
    folder.mkdir()
    (folder / "wide.yaml").write_text("train: {units: 128}\n", encoding="utf-8")
    return folder


def found(pad: PadParams, train: TrainParams) -> str | None:
    """Return the name of the preset that is found."""
    preset = find_preset(pad, train)
    return None if preset is None else preset.name


@pytest.mark.usefixtures("in_root")
def test_each_preset_of_the_project_is_found_whatever_the_seed() -> None:
    names = preset_names()
    assert {"default", "linear"} <= set(names)
    for name in names:
        params = read_preset(name)
        for seed in (params.train.seed, 7):
            assert found(params.pad, params.train.model_copy(update={"seed": seed})) == name


@pytest.mark.usefixtures("in_root")
def test_params_that_the_architecture_does_not_read_do_not_count() -> None:
    linear = read_preset("linear")
    assert found(linear.pad, linear.train.model_copy(update={"cell": "gru"})) == "linear"
    default = read_preset("default")
    features = default.train.linear.model_copy(update={"ngrams": 1})
    assert found(default.pad, default.train.model_copy(update={"linear": features})) == "default"


@pytest.mark.usefixtures("in_root")
def test_params_of_no_preset_find_none() -> None:
    assert found(PadParams(), TrainParams(units=32)) is None
    assert found(PadParams(max_length=40), TrainParams()) is None


@pytest.mark.usefixtures("in_root")
def test_ignored_params_may_differ_from_those_of_a_preset() -> None:
    preset = find_preset(PadParams(max_length=40), TrainParams(), ["pad.max_length"])
    assert preset is not None
    assert (preset.name, preset.pad.max_length) == ("default", 200)


@pytest.mark.parametrize(
    "content", [b"train: [", b"train: {units: 0}", b"fetch: {}", b"- train", b"\xff"]
)
def test_an_invalid_preset_is_left_out(presets: Path, content: bytes) -> None:
    (presets / "invalid.yaml").write_bytes(content)
    assert found(PadParams(), TrainParams(units=128)) == "wide"
    assert found(PadParams(), TrainParams(units=32)) is None
