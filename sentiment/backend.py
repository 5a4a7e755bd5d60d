"""The backend of Keras: its import without TensorFlow's start-up messages, and its cores."""

import importlib
import os
import sys
import tempfile
from types import ModuleType

STDERR = 2  # the file descriptor, which TensorFlow's C++ code writes to
# Without it, XLA uses half of the width of an AVX-512 unit. Other processors ignore it.
XLA_FLAGS = "--xla_cpu_prefer_vector_width=512"


def load_keras() -> ModuleType:
    """Import Keras with TensorFlow, and return it. Show their messages only if the import fails."""
    os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's keras.json says
    with tempfile.TemporaryFile() as messages:
        stderr = os.dup(STDERR)
        os.dup2(messages.fileno(), STDERR)
        try:
            return importlib.import_module("keras")
        except Exception:  # not KeyboardInterrupt, which is no fault of the import
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)


def usable_cores() -> int | None:
    """Return the number of cores that this process may use, or of all if the system cannot tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
