"""A disk on which a file cannot grow."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

WRITTEN = 100  # bytes of a file that are written before it fails


@contextmanager
def full_disk() -> Iterator[None]:
    """Let each write fail that makes a file longer than `WRITTEN`, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
