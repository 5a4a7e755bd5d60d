"""Import Keras silently, and without modules that are not used here."""

import os
import subprocess
import sys

import pytest

from tests.project import ROOT

pytestmark = pytest.mark.slow

CODE = """
import gc
import sys
import stages.train
from sentiment.prediction.backend import OPTIONAL_MODULES, load_keras, paused_garbage_collection
print(load_keras().__name__, {"tensorflow", *OPTIONAL_MODULES} & set(sys.modules))
import matplotlib.pyplot, sklearn
print(sklearn.__name__)
with paused_garbage_collection():
    with paused_garbage_collection():
        pass
    print(gc.isenabled())
print(gc.isenabled())
"""


def test_keras_is_imported_silently_with_tensorflow_and_without_optional_modules() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "keras {'tensorflow'}\nsklearn\nFalse\nTrue\n"
    assert done.stderr == ""
