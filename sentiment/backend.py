"""Keras, without what TensorFlow prints at start-up, and the cores that it may use."""

import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

STDERR = 2  # the descriptor, which TensorFlow's C++ code writes to
# By default XLA uses half of an AVX-512 unit's width; other processors ignore it
XLA_FLAGS = "--xla_cpu_prefer_vector_width=512"
# what Keras imports where it is installed, for wrappers and pictures: a fourth of its own import
OPTIONAL = ("matplotlib", "matplotlib.pyplot", "sklearn")


def load_keras() -> ModuleType:
    """Import Keras with TensorFlow; what that prints is shown only if it fails."""
    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
    with tempfile.TemporaryFile() as chatter:
        stderr = os.dup(STDERR)
        os.dup2(chatter.fileno(), STDERR)
        # Python would look for garbage in all modules again and again, while importing these and
        # later ones: 1.5 of 5.3 s until TensorFlow and MLflow are imported
        gc.disable()
        try:
            with hide_modules(OPTIONAL):
                return importlib.import_module("keras")
        except BaseException:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            gc.freeze()
            gc.enable()
            os.dup2(stderr, STDERR)
            os.close(stderr)


@contextmanager
def hide_modules(modules: Sequence[str]) -> Iterator[None]:
    """In the block, let these seem not to be installed, but for those that are imported already."""
    names = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: not to be imported
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def usable_cores() -> int | None:
    """The cores that this process may use, where the system says, else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
