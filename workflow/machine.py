"""What the bits of a result can depend on beside code, data and params."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from sentiment.backend import usable_cores

PACKAGES = ("tensorflow", "keras", "numpy")
SETTINGS = ("TF_NUM_", "TF_ENABLE_", "XLA_", "OMP_", "ONEDNN_", "DNNL_", "CUDA_VISIBLE_")
CPUINFO = Path("/proc/cpuinfo")
GPUS = Path("/proc/driver/nvidia/gpus")
# vector units, which decide in what order numbers are summed
VECTORS = re.compile(r"\b(?:sse4_2|fma|avx\w*|amx\w*|asimd\w*|sve\w*)\b")


def describe() -> dict[str, str]:
    """Versions of Python and the packages that compute, and the processor with its cores."""
    return {
        "python.version": platform.python_version(),
        **{f"{package}.version": version(package) for package in PACKAGES},
        "processor.name": _cpuinfo(r"model name\s*:\s*(.+)") or platform.machine(),
        "processor.features": " ".join(sorted(set(VECTORS.findall(_cpuinfo(FLAGS))))) or "unknown",
        "processor.cores": str(usable_cores()),
        "processor.gpus": _gpus() or "none",
        "environment.settings": _settings() or "none",
    }


def _settings() -> str:
    """What the environment tells TensorFlow, XLA and oneDNN to do otherwise than by default."""
    found = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(SETTINGS)]
    return " ".join(found)


def _gpus() -> str:
    """The models of NVIDIA's GPUs, where its driver is: with one, Keras trains by other kernels."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(GPUS.glob("*/information"))]
    return ", ".join(match[1] for text in texts if (match := re.search(r"Model:\s*(.+)", text)))


FLAGS = r"(?:flags|Features)\s*:\s*(.+)"


def _cpuinfo(pattern: str) -> str:
    """What the kernel says of the first core; empty where there is no such file."""
    try:
        found = re.search(pattern, CPUINFO.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[1] if found else ""
