"""The key of a training, and its key without seed and machine."""

import hashlib
import json
import os
import platform
import re
from pathlib import Path
from typing import Any, NamedTuple

from pathspec import GitIgnoreSpec

from sentiment.params import FetchParams, PadParams, TrainParams, flatten_used
from sentiment.prediction.backend import load_keras, package_versions, usable_cores
from workflow.params_file import read_yaml

CPU_INFO = Path("/proc/cpuinfo")


class TrainingKeys(NamedTuple):
    """Digests of what a training depends on.

    Attributes:
        key: of the params, the files that dvc.yaml lists for the stage `train`, the versions of
            some packages, the processor, the GPUs and XLA's flags. Trainings with the same key have
            the same bits.
        repetition_key: of the params that the architecture reads, without the seed, and of the
            files. Trainings with the same one repeat each other.
    """

    key: str
    repetition_key: str


def training_keys(params: TrainParams) -> TrainingKeys:
    """Return the digests of the training that these params and the current files describe."""
    load_keras()  # which sets XLA's flags
    import tensorflow as tf  # after Keras, whose import quiets it

    dependencies = read_yaml(Path("dvc.yaml"))["stages"]["train"]["deps"]
    digests = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for dependency in dependencies
        for path in _files_of(Path(dependency))
    }
    machine = {
        "packages": package_versions(),
        "processor": [processor_name(), usable_cores()],
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "xla": os.environ["XLA_FLAGS"],
    }
    return make_keys(params, digests, machine)


def make_keys(
    params: TrainParams, digests: dict[str, str], machine: dict[str, Any]
) -> TrainingKeys:
    """Return the keys of a training.

    Args:
        params: its params.
        digests: the digest of each file that it depends on, by its path.
        machine: whatever else its bits depend on.
    """
    used = flatten_used(FetchParams(), PadParams(), params)
    repeated = {name: used[name] for name in used if name.startswith("train.")}
    del repeated["train.seed"]
    return TrainingKeys(
        key=_digest({"params": params.model_dump(), "files": digests, **machine}),
        repetition_key=_digest({"params": repeated, "files": digests}),
    )


def _digest(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files_of(path: Path) -> list[Path]:
    """Return a file, or the files of a folder that .dvcignore does not leave out."""
    if path.is_file():
        return [path]
    ignored = GitIgnoreSpec.from_lines(Path(".dvcignore").read_text(encoding="utf-8").splitlines())
    found = (each for each in path.rglob("*") if not ignored.match_file(each))
    return sorted(each for each in found if each.is_file())


def processor_name() -> str:
    """Return the name of the processor."""
    try:
        match = re.search(r"model name\s*:\s*(.+)", CPU_INFO.read_text(encoding="utf-8"))
    except OSError:  # not Linux
        match = None
    return match[1] if match else platform.machine()
