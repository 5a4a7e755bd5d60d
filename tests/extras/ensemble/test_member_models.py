"""A member's files are read from its version, whose author may have written anything."""

from pathlib import Path
from typing import Any

import pytest

from extras.ensemble.member_models import read_model
from workflow import files
from workflow.files import DamagedError

LAYOUT = {"max_length": 6, "num_words": 20}
OUTSIDE = "../outside.keras"


def write_version(folder: Path, **changes: Any) -> Path:
    """Write the artifacts of a version with a network.

    Args:
        folder: gets a folder `artifacts`.
        changes: of the network's config.
    """
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    listed = ("model.keras", "word_index.json", OUTSIDE)
    for name in (*listed, "unlisted.keras"):
        (artifacts / name).write_text("content", encoding="utf-8")
    model = {"file": "model.keras", "weight": 1.0, "layout": LAYOUT, "batch_size": 4, **changes}
    digests = {name: files.sha256(artifacts / name) for name in listed}
    files.write_json(artifacts / "config.json", {"models": [model], "files": digests})
    return artifacts


@pytest.mark.parametrize("max_length", [6, 9])
def test_each_network_keeps_its_own_layout(max_length: int, tmp_path: Path) -> None:
    layout = {**LAYOUT, "max_length": max_length}
    model = read_model(write_version(tmp_path, layout=layout))
    assert model.path == tmp_path / "artifacts" / "model.keras"
    assert model.config == {"layout": layout, "batch_size": 4}


@pytest.mark.parametrize("name", ["unlisted.keras", OUTSIDE])
def test_file_that_is_unlisted_or_outside_of_the_folder_is_refused(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(DamagedError, match=f"{name} is not one of its files"):
        read_model(write_version(tmp_path, file=name))


def test_changed_network_is_refused(tmp_path: Path) -> None:
    artifacts = write_version(tmp_path)
    (artifacts / "model.keras").write_text("changed", encoding="utf-8")
    with pytest.raises(DamagedError, match=r"model\.keras differs"):
        read_model(artifacts)
