"""A training is named by the nearest preset and at most five differences."""

from typing import Any

import pytest

from sentiment.params import FetchParams, PadParams, TrainParams
from sentiment.project.naming import nearest_name
from sentiment.project.paths import Project
from sentiment.project.presets import read_preset, valid_presets
from tests.small_project import ROOT

HERE = Project(ROOT, ROOT)  # which has the presets


def name(preset: str, pad: dict[str, Any] | None = None, **train: Any) -> str:
    """Return the name of a training with the params of a preset and some changes."""
    params = read_preset(HERE, preset)
    return nearest_name(
        valid_presets(HERE),
        FetchParams(),
        params.pad.model_copy(update=pad or {}),
        params.train.model_copy(update=train),
    )


@pytest.mark.parametrize("preset", ["default", "linear", "lstm"])
def test_a_training_with_the_params_of_a_preset_has_its_name(preset: str) -> None:
    assert name(preset) == preset


def test_what_differs_from_the_nearest_preset_follows() -> None:
    assert name("linear", epochs=12) == "linear · epochs 12"
    assert name("default", cell="gru") == "default · cell gru"
    assert name("lstm", {"max_length": 300}) == "lstm · max_length 300"


def test_at_most_five_differences_are_named_and_the_seed_comes_last() -> None:
    changes = {"seed": 3, "units": 8, "layers": 2, "epochs": 1, "batch_size": 2, "patience": 1}
    assert name("default", {"num_words": 500}, **changes) == (
        "default · num_words 500 · units 8 · layers 2 · epochs 1 · batch_size 2 · seed 3"
    )


def test_added_texts_come_first() -> None:
    fetch = FetchParams(added_texts="texts/labeled")
    named = nearest_name(valid_presets(HERE), fetch, PadParams(), TrainParams(epochs=9))
    assert named == "+labeled · default · epochs 9"


def test_what_was_fitted_to_a_table_comes_after_what_the_user_changed() -> None:
    linear = valid_presets(HERE)[1]
    pad = linear.pad.model_copy(update={"max_length": 6})
    train = linear.train.model_copy(update={"batch_size": 4, "class_weight": "balanced"})
    named = nearest_name(valid_presets(HERE), FetchParams(dataset="table"), pad, train)
    assert named == "linear · class_weight balanced · batch_size 4 · max_length 6"
