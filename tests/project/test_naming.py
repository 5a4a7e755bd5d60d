"""A training is named by the nearest preset and at most five differences."""

from typing import Any

import pytest

from sentiment.data.lengths import TextLengths
from sentiment.project.naming import nearest_name
from sentiment.project.paths import Project
from sentiment.project.presets import Preset, fitted_preset, read_preset, valid_presets
from tests.small_project import ROOT

HERE = Project(ROOT, ROOT)  # which has the presets


FEW_SHORT_TEXTS = TextLengths(texts=3200, median=18, uncut=29)


def name(
    preset: str,
    pad: dict[str, Any] | None = None,
    lengths: TextLengths | None = None,
    **train: Any,
) -> str:
    """Return the name of a training with the params of a preset and some changes.

    Args:
        lengths: the texts of a table, to which the preset is fitted before the changes.
    """
    params = read_preset(HERE, preset)
    chosen = Preset(preset, params.pad, params.train)
    if lengths is not None:
        chosen = fitted_preset(chosen, lengths)
    return nearest_name(
        valid_presets(HERE),
        chosen.pad.model_copy(update=pad or {}),
        chosen.train.model_copy(update=train),
        lengths,
    )


@pytest.mark.parametrize("preset", ["default", "linear", "lstm"])
def test_a_training_with_the_params_of_a_preset_has_its_name(preset: str) -> None:
    assert name(preset) == preset


def test_what_differs_from_the_nearest_preset_follows() -> None:
    assert name("linear", epochs=12) == "linear · epochs 12"
    assert name("default", cell="gru") == "default · cell gru"
    assert name("lstm", {"max_length": 300}) == "lstm · max_length 300"


def test_a_file_of_word_vectors_is_named_by_its_stem() -> None:
    vectors = {"vectors": "/srv/glove.6B.100d.txt"}
    assert name("lstm", vectors) == "lstm · vectors glove.6B.100d"
    assert name("default", vectors, freeze_vectors=True) == (
        "default · vectors glove.6B.100d · freeze_vectors True"
    )


def test_at_most_five_differences_are_named_and_the_seed_comes_last() -> None:
    changes: dict[str, Any] = {
        "seed": 3,
        "units": 8,
        "layers": 2,
        "epochs": 1,
        "batch_size": 2,
        "patience": 1,
    }
    assert name("default", {"num_words": 500}, **changes) == (
        "default · num_words 500 · units 8 · layers 2 · epochs 1 · batch_size 2 · seed 3"
    )


@pytest.mark.parametrize("preset", ["default", "linear", "lstm"])
def test_a_param_that_is_fitted_to_a_table_is_left_out(preset: str) -> None:
    assert name(preset, lengths=FEW_SHORT_TEXTS) == preset
    assert name(preset, lengths=FEW_SHORT_TEXTS, epochs=40) == f"{preset} · epochs 40"
    assert name(preset, lengths=FEW_SHORT_TEXTS, seed=43) == f"{preset} · seed 43"


def test_a_param_that_is_not_fitted_to_the_table_is_named() -> None:
    assert name("default", {"max_length": 200}, FEW_SHORT_TEXTS, batch_size=64) == (
        "default · max_length 200 · batch_size 64"
    )
