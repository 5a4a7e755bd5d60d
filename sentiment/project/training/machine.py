"""The machine: what a training depends on, bit for bit, besides its params, arrays and code."""

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from sentiment.backend import load_keras

CPU_INFO = Path("/proc/cpuinfo")
# Tags of a run
PROCESSOR = "processor"
THREADS = "threads"
XLA = "xla"
ONEDNN = "onednn"
MACHINE_TAGS = (PROCESSOR, THREADS, XLA, ONEDNN, "tensorflow", "keras", "numpy")
ONEDNN_VARIABLES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA")


def machine_tags() -> dict[str, str]:
    """Return the processor, the variables and the versions that a training depends on, by name."""
    load_keras()
    import tensorflow as tf  # after Keras, whose import quiets it

    onednn = [f"{name}={os.environ[name]}" for name in ONEDNN_VARIABLES if name in os.environ]
    gpus = len(tf.config.list_physical_devices("GPU"))
    return {
        PROCESSOR: f"{processor_name()}, {gpus} GPUs" if gpus else processor_name(),
        THREADS: os.environ.get("TF_NUM_INTRAOP_THREADS", "default"),
        XLA: os.environ["XLA_FLAGS"],
        ONEDNN: " ".join(onednn) or "default",
        **package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that may change the bits of a training, by name.

    TensorFlow is asked, because its package is `tensorflow-cpu` on Linux x86-64.
    """
    keras = load_keras()
    import numpy as np
    import tensorflow as tf

    return {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}


def machine_changes(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what differs between two machines: the values then and now, by name.

    Args:
        then: tags of a run. A name that only one of the two has is ignored.
        now: the tags of this machine.
    """
    return {
        name: (then[name], value) for name, value in now.items() if then.get(name, value) != value
    }


def processor_name() -> str:
    """Return the name of the processor."""
    try:
        match = re.search(r"model name\s*:\s*(.+)", CPU_INFO.read_text(encoding="utf-8"))
    except OSError:  # not Linux
        match = None
    return match[1] if match else platform.machine()
