"""Import Keras silently, and without modules that are not used here."""

import subprocess
import sys

import pytest

from tests.project import ROOT

pytestmark = pytest.mark.slow

CODE = """
import sys
import stages.train
from sentiment.prediction.backend import OPTIONAL_MODULES, load_keras
print(load_keras().__name__, {"tensorflow", *OPTIONAL_MODULES} & set(sys.modules))
import matplotlib.pyplot, sklearn
print(sklearn.__name__)
"""


def test_keras_is_imported_silently_without_optional_modules() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "keras {'tensorflow'}\nsklearn\n"
    assert done.stderr == ""
