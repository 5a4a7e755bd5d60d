"""What identifies a run: what shaped it, its code, the machine, who made it, and its name."""

import difflib
import getpass
import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML

from sentiment.backend import usable_cores
from sentiment.errors import redacted
from sentiment.network.train_options import KERAS_FORGET_BIAS, Train
from workflow import files
from workflow.params import dataset_name

DIFF_BYTES = 2**20  # of uncommitted changes kept with a run
NAMES = 100  # of untracked files among a run's tags
# The pipeline's own products: they change in every run and say nothing about what shaped it;
# `dvc status` tells whether they are up to date.
CHANGES = (".", ":(exclude,glob)**/dvc.lock", ":(exclude)data")
# Other files may hold texts, or keys as `.dvc/config` does: only their names are kept.
PACKAGES = ("extras", "sentiment", "stages", "tools", "workflow")
MODULES = tuple(f":(glob){package}/**/*.py" for package in PACKAGES)
SETTINGS = ("params.yaml", ":(glob)extras/**/*.yaml")
SHAPING = (*MODULES, *SETTINGS, "dvc.yaml", ":(glob)requirements*.txt")
COMPUTING = ("tensorflow", "keras", "numpy")
VARIABLES = ("TF_NUM_", "TF_ENABLE_", "XLA_", "OMP_", "ONEDNN_", "DNNL_", "CUDA_VISIBLE_")
CPUINFO = Path("/proc/cpuinfo")
GPUS = Path("/proc/driver/nvidia/gpus")
# vector units, which decide in what order numbers are summed
VECTORS = re.compile(r"\b(?:sse4_2|fma|avx\w*|amx\w*|asimd\w*|sve\w*)\b")
FLAGS = r"(?:flags|Features)\s*:\s*(.+)"
SEPARATOR = " · "
DECLARED = Path("dvc.yaml")


def fingerprint(shaped: Mapping[str, Any]) -> str:
    """A name for a training, or for what trainings have in common, from all that shapes it."""
    text = json.dumps(shaped, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digests(stages: Sequence[str], file: Path = DECLARED) -> dict[str, str]:
    """SHA-256 of the modules that a `dvc.yaml` lists for these stages, by path."""
    declared = YAML(typ="safe", pure=True).load(file)["stages"]
    listed = {Path(dep) for name in stages for dep in declared[name]["deps"]}
    modules = {module for path in listed for module in (path, *path.rglob("*.py"))}
    return {str(path): files.sha256(path) for path in sorted(modules) if path.suffix == ".py"}


def describe() -> dict[str, str]:
    """Versions of Python and the packages that compute, and the processor with its cores."""
    return {
        "python.version": platform.python_version(),
        **{f"{package}.version": version(package) for package in COMPUTING},
        "processor.name": _cpuinfo(r"model name\s*:\s*(.+)") or platform.machine(),
        "processor.features": " ".join(sorted(set(VECTORS.findall(_cpuinfo(FLAGS))))) or "unknown",
        "processor.cores": str(usable_cores()),
        "processor.gpus": _gpus() or "none",
        "environment.settings": _settings() or "none",
    }


def _settings() -> str:
    """What the environment tells TensorFlow, XLA and oneDNN to do otherwise than by default."""
    found = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)]
    return " ".join(found)


def _gpus() -> str:
    """The models of NVIDIA's GPUs, where its driver is: with one, Keras trains by other kernels."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(GPUS.glob("*/information"))]
    return ", ".join(match[1] for text in texts if (match := re.search(r"Model:\s*(.+)", text)))


def _cpuinfo(pattern: str) -> str:
    """What the kernel says of the first core; empty where there is no such file."""
    try:
        found = re.search(pattern, CPUINFO.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[1] if found else ""


def person() -> str:
    """Who does this: the name at a server with users, or at this machine."""
    from mlflow.utils.credentials import read_mlflow_creds

    at_server = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    try:
        return at_server.username or read_mlflow_creds().username or getpass.getuser()
    except (KeyError, OSError):  # in a container, a user may have no name
        return f"uid {os.getuid()}"


def provenance() -> dict[str, str]:
    """Tags that lead from a run back to who made it, the git commit and the DVC experiment."""
    tags = {"mlflow.user": person(), "git.commit": git("rev-parse", "HEAD")}
    if tags["git.commit"]:
        tags["git.uncommitted_changes"] = _changes() or "none"
    tags["dvc.experiment"] = os.environ.get("DVC_EXP_NAME", "")
    tags["dvc.baseline"] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return {key: value for key, value in tags.items() if value}


def _changes() -> str:
    """Changed files as `git status` lists them; of many untracked ones the first and how many."""
    lines = git("status", "--porcelain", "--untracked-files=all", "--", *CHANGES).splitlines()
    untracked = [line for line in lines if line.startswith("??")]
    shown = lines[: len(lines) - len(untracked)] + untracked[:NAMES]
    if len(untracked) > NAMES:
        shown.insert(0, f"{len(untracked):,} untracked files, of which {NAMES} are listed")
    return "\n".join(shown)


def uncommitted_diff() -> str:
    """Changes of code and settings since the commit, without passwords in addresses.

    Of untracked files, it has the Python modules in the project's own packages. A long diff is cut,
    and says so.
    """
    parts = [git("diff", "--relative", "HEAD", "--", *SHAPING), *_untracked_modules()]
    diff = redacted("\n".join(filter(None, parts))).encode()
    kept = diff[:DIFF_BYTES].decode(errors="ignore")
    return kept if len(diff) <= DIFF_BYTES else f"{kept}\n[cut after {DIFF_BYTES:,} bytes]\n"


def _untracked_modules() -> Iterator[str]:
    """The untracked modules as diffs, until there are `DIFF_BYTES` of them."""
    listed = git("ls-files", "--others", "--exclude-standard", "-z", "--", *MODULES)
    size = 0
    for name in filter(None, listed.split("\0")):
        if Path(name).is_symlink():  # to a file that may be private
            continue
        try:
            lines = Path(name).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:  # gone meanwhile, or not readable
            continue
        diff = "\n".join(difflib.unified_diff([], lines, os.devnull, f"b/{name}", lineterm=""))
        yield diff
        size += len(diff)
        if size > DIFF_BYTES:
            return


def git(*arguments: str) -> str:
    """The output of a git command, empty where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return ""
    if done.returncode:
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n")


def run_name(params: Train, settings_used: Mapping[str, Any], experiment: str | None) -> str:
    """A run's name: model, length, seed, and what is out of the ordinary.

    Args:
        params: the `train` section.
        settings_used: everything that shapes the training, by dotted `params.yaml` names.
        experiment: name of the DVC experiment, if it is one.
    """
    return SEPARATOR.join(
        [*_parts(params, settings_used).values(), *([experiment] if experiment else [])]
    )


def group_name(params: Train, settings_used: Mapping[str, Any], count: int) -> str:
    """The name of a group of trainings under `count` seeds: that of its runs without the seed."""
    parts = _parts(params, settings_used)
    del parts["seed"]
    return SEPARATOR.join([f"{count} seeds", *parts.values()])


def _parts(params: Train, settings_used: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a name, in order; those that are as usual are left out."""
    dataset, schedule = dataset_name(settings_used), params.schedule
    network = params.cell if params.architecture == "recurrent" else params.architecture
    parts = {
        "model": f"{'bi-' if params.bidirectional else ''}{network}-{params.units}",
        "heads": params.heads and f"{params.heads} heads",
        "layers": params.layers > 1 and f"{params.layers} layers",
        "mask": params.mask_padding and "masked",
        "segment": params.segment_length and f"segments {params.segment_length}",
        "pooling": params.pooling != "last" and params.pooling,
        "forget": params.forget_bias != KERAS_FORGET_BIAS and f"forget {params.forget_bias:g}",
        "start": params.recurrent_initializer != "orthogonal" and params.recurrent_initializer,
        "vectors": params.embedding_initializer != "uniform" and params.embedding_initializer,
        "bigrams": params.bigrams.units and f"bigrams {params.bigrams.units}",
        "words": params.dropout.word and f"word dropout {params.dropout.word:g}",
        "smoothing": params.label_smoothing and f"smoothing {params.label_smoothing:g}",
        "weight": params.class_weight != "none" and params.class_weight,
        "adversarial": params.adversarial and f"adversarial {params.adversarial:g}",
        "schedule": schedule.kind != "constant" and schedule.kind,
        "warmup": schedule.warmup_epochs and f"warm-up {schedule.warmup_epochs:g}",
        "decay": params.weight_decay and f"decay {params.weight_decay:g}",
        "clip": params.clip_norm and f"clip {params.clip_norm:g}",
        "average": params.average and f"average {params.average:g}",
        "best": params.keep_best and "best epoch",
        "length": f"len {settings_used['pad.max_length']}",
        "seed": f"seed {params.seed}",
        "dataset": dataset != "imdb" and dataset,
    }
    return {name: str(part) for name, part in parts.items() if part}
