"""A failed import of Keras shows its messages. tests/contract tests that another one is silent."""

import importlib
import os
import sys

import pytest

from sentiment.backend import load_keras


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
