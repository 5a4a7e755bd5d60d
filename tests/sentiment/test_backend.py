"""Keras is imported quietly, and without what nothing here uses."""

from tests.project import run_code

CODE = """
import sys
import stages.train
from sentiment.backend import OPTIONAL_MODULES, load_keras
print(load_keras().__name__, {"tensorflow", *OPTIONAL_MODULES} & set(sys.modules))
import matplotlib.pyplot, sklearn
print(sklearn.__name__)
"""


def test_keras_is_imported_without_a_word_or_what_is_not_needed() -> None:
    done = run_code(CODE)
    assert done.stdout == "keras {'tensorflow'}\nsklearn\n"
    assert done.stderr == ""
