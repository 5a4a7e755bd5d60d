"""Keras is imported quietly, and without what nothing here uses."""

import pytest

from sentiment.backend import hidden
from tests.project import run_code

CODE = """
import gc, sys
import stages.train
from sentiment.backend import OPTIONAL, load_keras
print(load_keras().__name__, {"tensorflow", *OPTIONAL} & set(sys.modules))
print(gc.isenabled(), gc.get_freeze_count() > 100_000, len(gc.get_objects()) < 10_000)
before = gc.get_freeze_count()
load_keras()
print(gc.get_freeze_count() == before)
import matplotlib.pyplot, sklearn
print(sklearn.__name__)
"""


def test_keras_is_imported_without_a_word_what_is_not_needed_or_a_search_for_garbage() -> None:
    done = run_code(CODE)
    assert done.stdout == "keras {'tensorflow'}\nTrue True True\nTrue\nsklearn\n"
    assert done.stderr == ""


def test_what_is_imported_already_stays() -> None:
    with hidden(["json", "wave"]):
        import json

        assert json.loads("1") == 1
        with pytest.raises(ImportError):
            __import__("wave")
    assert __import__("wave").__name__ == "wave"
