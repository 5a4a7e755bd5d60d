"""Keras, without what TensorFlow prints at start-up, before its log level counts."""

import importlib
import os
import tempfile
from types import ModuleType

STDERR = 2  # the descriptor, which TensorFlow's C++ code writes to
# By default XLA uses half of an AVX-512 unit's width; other processors ignore it
XLA_FLAGS = "--xla_cpu_prefer_vector_width=512"


def load_keras() -> ModuleType:
    """Import Keras with TensorFlow; what that prints is shown only if it fails."""
    os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
    with tempfile.TemporaryFile() as chatter:
        stderr = os.dup(STDERR)
        os.dup2(chatter.fileno(), STDERR)
        try:
            return importlib.import_module("keras")
        except BaseException:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)
