"""Import Keras without TensorFlow's start-up messages, and count the usable CPU cores."""

import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

STDERR = 2  # the file descriptor, which TensorFlow's C++ code writes to
# By default, XLA uses half of the width of an AVX-512 unit. Other processors ignore this flag.
XLA_FLAGS = "--xla_cpu_prefer_vector_width=512"
# Keras imports these if they are installed, for wrappers and plots that are not used here. Hiding
# them saves a quarter of its import time.
OPTIONAL_MODULES = ("matplotlib", "matplotlib.pyplot", "sklearn")


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
            with paused_garbage_collection(), hide_modules(OPTIONAL_MODULES):
                return importlib.import_module("keras")
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Do not search for garbage while the block runs, nor later in what is there at its end.

    Otherwise Python searches all modules again and again while others are imported: 1.5 of the 5.3
    seconds that importing TensorFlow and MLflow takes.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def hide_modules(modules: Sequence[str]) -> Iterator[None]:
    """Make modules look uninstalled while the block runs, unless they are imported already."""
    names = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None blocks the import
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def usable_cores() -> int | None:
    """Return the number of cores that this process may use, or of all if the system cannot tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
