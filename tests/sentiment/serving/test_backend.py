"""Keras is imported quietly, and without what nothing here uses."""

import pytest

from sentiment.serving.backend import hidden
from tests.project import run_code


def test_keras_is_imported_without_a_word_and_without_scikit_learn_and_matplotlib() -> None:
    done = run_code("""
import sys
from sentiment.serving.backend import OPTIONAL, load_keras
print(load_keras().__name__, {"tensorflow", *OPTIONAL} & set(sys.modules))
import matplotlib.pyplot, sklearn
print(sklearn.__name__)
""")
    assert done.stdout == "keras {'tensorflow'}\nsklearn\n"
    assert done.stderr == ""


def test_what_is_imported_already_stays() -> None:
    with hidden(["json", "wave"]):
        import json

        assert json.loads("1") == 1
        with pytest.raises(ImportError):
            __import__("wave")
    assert __import__("wave").__name__ == "wave"
