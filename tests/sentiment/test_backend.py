"""Keras is imported quietly, and without what nothing here uses."""

import pytest

from sentiment.backend import hidden
from tests.project import run_code


def test_keras_is_imported_without_a_word_and_without_scikit_learn_and_matplotlib() -> None:
    done = run_code("""
import sys
import stages.train
from sentiment.backend import OPTIONAL, load_keras
print(load_keras().__name__, {"tensorflow", *OPTIONAL} & set(sys.modules))
import matplotlib.pyplot, sklearn
print(sklearn.__name__)
""")
    assert done.stdout == "keras {'tensorflow'}\nsklearn\n"
    assert done.stderr == ""


def test_garbage_is_looked_for_again_but_not_among_what_was_imported() -> None:
    done = run_code("""
import gc
from sentiment.backend import load_keras
load_keras()
print(gc.isenabled(), gc.get_freeze_count() > 100_000, len(gc.get_objects()) < 10_000)
before = gc.get_freeze_count()
load_keras()
print(gc.get_freeze_count() == before)
""")
    assert done.stdout == "True True True\nTrue\n"


def test_what_is_imported_already_stays() -> None:
    with hidden(["json", "wave"]):
        import json

        assert json.loads("1") == 1
        with pytest.raises(ImportError):
            __import__("wave")
    assert __import__("wave").__name__ == "wave"
