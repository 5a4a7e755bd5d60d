"""A model is asked by the code that travels with it, and this workspace's is back afterwards."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from stages import packaging, registry, text
from tools import champion

from .project import ROOT


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The code of a model that was registered by this workspace."""
    (tmp_path / "stages").mkdir()
    for name in packaging.CODE:
        shutil.copy2(ROOT / "stages" / f"{name}.py", tmp_path / "stages")
    return tmp_path


def test_other_code_is_imported_within_and_ours_afterwards(code: Path) -> None:
    with (code / "stages" / "text.py").open("a", encoding="utf-8") as file:
        file.write("\n\nOTHER = True\n")
    path = list(sys.path)
    with champion.its_own_code(code):
        sys.path = [str(code), *sys.path]  # as MLflow does
        assert importlib.import_module("stages.text").OTHER
    assert sys.path == path
    assert importlib.import_module("stages.text") is text
    assert importlib.import_module("stages.registry") is registry


def test_ours_is_back_after_a_failure(code: Path) -> None:
    (code / "stages" / "text.py").write_text("raise RuntimeError", encoding="utf-8")

    def load() -> None:
        with champion.its_own_code(code):
            sys.path = [str(code), *sys.path]
            importlib.import_module("stages.text")

    with pytest.raises(RuntimeError):
        load()
    assert importlib.import_module("stages.text") is text


def test_the_same_code_is_not_imported_twice(code: Path) -> None:
    with champion.its_own_code(code):
        assert importlib.import_module("stages.text") is text
