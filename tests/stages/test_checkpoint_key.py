"""Everything that the bits of a training depend on makes another checkpoint."""

from pathlib import Path
from typing import Any

import pytest

from sentiment.data.params import describe_dataset
from stages.train import checkpoint_key
from workflow import checkpoints, files, provenance
from workflow.about import AboutTrain
from workflow.params import Params
from workflow.params_file import with_changes

MACHINE = {"processor.name": "Example CPU"}


@pytest.fixture(autouse=True)
def data_and_code(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the digests of data/pad and of the code, which tests change."""
    digests: dict[str, Any] = {"data": {"x_train.npy": "a"}, "code": {"model.py": "b"}}

    def read_digests(_: Path) -> dict[str, str]:
        return dict(digests["data"])

    def code_digests(_: list[str]) -> dict[str, str]:
        return dict(digests["code"])

    monkeypatch.setattr(files, "read_digests", read_digests)
    monkeypatch.setattr(provenance, "code_digests", code_digests)
    return digests


def about(params: Params) -> AboutTrain:
    return AboutTrain(dataset=describe_dataset(params.fetch), pad=params.pad, train=params.train)


def test_same_training_has_the_same_key(default_params: Params) -> None:
    key = checkpoint_key(about(default_params), MACHINE)
    assert checkpoint_key(about(default_params), dict(MACHINE)) == key


@pytest.mark.parametrize(
    "change", [{"train.seed": 1}, {"pad.max_length": 100}, {"fetch.dataset": "synthetic"}]
)
def test_other_params_have_another_key(default_params: Params, change: dict[str, Any]) -> None:
    changed = with_changes(default_params, change)
    key = checkpoint_key(about(default_params), MACHINE)
    assert checkpoint_key(about(changed), MACHINE) != key


@pytest.mark.parametrize("source", ["data", "code"])
def test_other_data_or_code_has_another_key(
    default_params: Params, data_and_code: dict[str, Any], source: str
) -> None:
    before = checkpoint_key(about(default_params), MACHINE)
    data_and_code[source] = {"x": "changed"}
    assert checkpoint_key(about(default_params), MACHINE) != before


def test_another_machine_or_format_has_another_key(
    default_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checkpoint_key(about(default_params), MACHINE)
    assert checkpoint_key(about(default_params), {"processor.name": "Other"}) != before
    monkeypatch.setattr(checkpoints, "FORMAT", 99)
    assert checkpoint_key(about(default_params), MACHINE) != before
