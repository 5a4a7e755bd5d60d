"""Import Keras with TensorFlow, silently."""

import importlib
import os
import subprocess
import sys

import pytest

from sentiment.backend import load_keras
from tests.project import ROOT

CODE = """
import sys
import stages.train
from sentiment.backend import load_keras
print(load_keras().__name__, "tensorflow" in sys.modules)
"""


@pytest.mark.slow
def test_keras_is_imported_silently_with_tensorflow() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "keras True\n"
    assert done.stderr == ""


def test_the_messages_of_an_import_that_fails_are_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: str) -> None:
        os.write(2, b"libcudart is missing\n")
        raise ImportError("no TensorFlow")

    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ImportError, match="no TensorFlow"):
        load_keras()
    assert capfd.readouterr().err == "libcudart is missing\n"
