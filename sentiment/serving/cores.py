"""How many processor cores this process may use."""

import os


def usable_cores() -> int | None:
    """The cores that this process may use, where the system says, else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
