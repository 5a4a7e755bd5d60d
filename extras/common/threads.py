"""Share the cores of this machine among processes that use TensorFlow."""

from sentiment.backend import usable_cores

THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's variable: threads of an operation


def threads_per_process(processes: int) -> int:
    """Return the number of threads for each of several processes, at least one."""
    return max(1, (usable_cores() or 1) // processes)
