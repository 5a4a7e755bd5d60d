"""Import Keras with TensorFlow, silently."""

import os
import subprocess
import sys

import pytest

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
