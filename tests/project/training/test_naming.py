"""A training is named by its section and by at most five differences from the last commit."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from sentiment.project.files.paths import Project
from sentiment.project.training.naming import committed_section, describe_training, training_name
from tests.params import shipped_params, training_params
from tests.small_project import ROOT


def name(model: str = "lstm", **changes: Any) -> str:
    """Return the name of a training whose section the last commit has without the changes."""
    return describe_training(training_params(model, **changes), shipped_params()[model])


@pytest.mark.parametrize("model", ["lstm", "bilstm", "linear", "custom"])
def test_a_training_with_the_committed_params_has_the_name_of_its_section(model: str) -> None:
    assert name(model) == model


def test_what_differs_from_the_commit_follows() -> None:
    assert name("linear", epochs=12) == "linear · epochs 12"
    assert name("lstm", cell="gru", dropout={"head": 0.5}) == "lstm · cell gru · dropout.head 0.5"
    assert name("custom", network={"filters": 9}) == "custom · network.filters 9"


def test_word_vectors_and_another_seed_are_always_named() -> None:
    vectors = "/srv/glove.6B.100d.txt"
    assert name("bilstm", vectors=vectors) == "bilstm · vectors glove.6B.100d"
    assert name("linear", vectors=vectors, seed=43) == "linear · vectors glove.6B.100d · seed 43"


def test_a_param_that_is_not_read_is_not_named() -> None:
    assert name("lstm", freeze_vectors=True) == "lstm"
    with_vectors = name("lstm", vectors="glove.txt", embedding_units=8, freeze_vectors=True)
    assert with_vectors == "lstm · freeze_vectors true · vectors glove"


def test_at_most_five_differences_are_named_and_the_others_counted() -> None:
    changes = {
        "num_words": 500,
        "units": 8,
        "layers": 2,
        "epochs": 1,
        "batch_size": 2,
        "patience": 1,
        "max_length": 9,
    }
    assert name("lstm", seed=3, **changes) == (
        "lstm · num_words 500 · max_length 9 · units 8 · layers 2 · epochs 1 · +2 · seed 3"
    )
    five = {key: value for key, value in changes.items() if key not in ("batch_size", "patience")}
    assert name("lstm", **five) == (
        "lstm · num_words 500 · max_length 9 · units 8 · layers 2 · epochs 1"
    )


def test_a_section_that_the_commit_lacks_is_named_alone() -> None:
    params = training_params("linear", epochs=12)
    assert describe_training(params, None) == "linear"


@pytest.mark.parametrize("text", ["", "train: {units: 64}", "lstm: 5", "- lstm", "lstm: ["])
def test_another_file_in_the_commit_has_no_section(text: str) -> None:
    assert committed_section(text, "lstm") is None


def test_a_section_is_compared_with_the_commit_even_if_the_rest_of_it_is_not_valid() -> None:
    assert committed_section("lstm: {units: 64}\nlinear: 5\n", "lstm") == {"units": 64}


@pytest.mark.slow
def test_the_commit_is_that_of_the_folder_in_which_the_training_runs(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path)
    params = training_params("lstm", units=3)
    assert training_name(project, params) == "lstm"  # there is no commit
    project.params_file.write_bytes((ROOT / "params.yaml").read_bytes())
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (["init"], ["add", "params.yaml"], [*author, "commit", "--message", "params"]):
        subprocess.run(["git", *command], cwd=tmp_path, capture_output=True, check=True)
    project.params_file.unlink()
    assert training_name(project, params) == "lstm · units 3"
