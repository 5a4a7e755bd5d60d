"""What identifies a run: what shaped it, its code, the machine, who made it, and its name."""

import getpass
import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML

from sentiment.backend import usable_cores
from sentiment.errors import redacted
from sentiment.network.params import KERAS_FORGET_BIAS, TrainParams
from workflow import files
from workflow.params import dataset_name

DIFF_BYTES = 2**20  # of uncommitted changes kept with a run
TAG = 8000  # characters that MLflow's database takes of a tag
# without the pipeline's own products, which say nothing about what shaped a run
CHANGES = (".", ":(exclude,glob)**/dvc.lock", ":(exclude)data")
# Other files may hold texts, or keys as `.dvc/config` does: only their names are kept.
PACKAGES = ("extras", "sentiment", "stages", "tools", "workflow")
MODULES = tuple(f":(glob){package}/**/*.py" for package in PACKAGES)
SETTINGS = ("params.yaml", ":(glob)extras/**/*.yaml")
SHAPING = (*MODULES, *SETTINGS, "dvc.yaml", ":(glob)**/requirements.txt")
COMPUTING = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn")
# of the environment: what these packages, XLA and oneDNN are to do otherwise than by default
VARIABLES = tuple("TF_NUM_ TF_ENABLE_ XLA_ OMP_ OPENBLAS_ ONEDNN_ DNNL_ CUDA_VISIBLE_".split())
CPUINFO = Path("/proc/cpuinfo")
GPUS = Path("/proc/driver/nvidia/gpus")  # there by the driver; with one, kernels are others
# vector units, which decide in what order numbers are summed
VECTORS = re.compile(r"\b(?:sse4_2|fma|avx\w*|amx\w*|asimd\w*|sve\w*)\b")
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
    flags = _first(CPUINFO, r"(?:flags|Features)\s*:\s*(.+)")
    gpus = [_first(file, r"Model:\s*(.+)") for file in sorted(GPUS.glob("*/information"))]
    settings = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)]
    return {
        "python.version": platform.python_version(),
        **{f"{package}.version": version(package) for package in COMPUTING},
        "processor.name": _first(CPUINFO, r"model name\s*:\s*(.+)") or platform.machine(),
        "processor.features": " ".join(sorted(set(VECTORS.findall(flags)))) or "unknown",
        "processor.cores": str(usable_cores()),
        "processor.gpus": ", ".join(filter(None, gpus)) or "none",
        "environment.settings": " ".join(settings) or "none",
    }


def _first(file: Path, pattern: str) -> str:
    """The first match of a pattern in a file of the kernel; empty where there is none."""
    try:
        match = re.search(pattern, file.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return match[1] if match else ""


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
        changes = git("status", "--porcelain", "--untracked-files=normal", "--", *CHANGES)[:TAG]
        tags["git.uncommitted_changes"] = changes or "none"
    tags["dvc.experiment"] = os.environ.get("DVC_EXP_NAME", "")
    tags["dvc.baseline"] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return {key: value for key, value in tags.items() if value}


def uncommitted_diff() -> str:
    """Changes of code and settings since the commit, without passwords in addresses.

    Files that git does not track are not in it. A long diff is cut, and says so.
    """
    diff = redacted(git("diff", "--relative", "HEAD", "--", *SHAPING)).encode()
    kept = diff[:DIFF_BYTES].decode(errors="ignore")
    return kept if len(diff) <= DIFF_BYTES else f"{kept}\n[cut after {DIFF_BYTES:,} bytes]\n"


def git(*arguments: str) -> str:
    """The output of a git command, empty where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n")


def run_name(params: TrainParams, settings_used: Mapping[str, Any], experiment: str | None) -> str:
    """A run's name: model, length, seed, what is out of the ordinary, and the DVC experiment.

    `settings_used` is everything that shapes the training, by dotted `params.yaml` names.
    """
    dataset, schedule = dataset_name(settings_used), params.schedule
    network = params.cell if params.architecture == "recurrent" else params.architecture
    parts = [
        f"{'bi-' if params.bidirectional else ''}{network}-{params.units}",
        params.heads and f"{params.heads} heads",
        params.layers > 1 and f"{params.layers} layers",
        params.mask_padding and "masked",
        params.segment_length and f"segments {params.segment_length}",
        params.pooling != "last" and params.pooling,
        params.forget_bias != KERAS_FORGET_BIAS and f"forget {params.forget_bias:g}",
        params.recurrent_initializer != "orthogonal" and params.recurrent_initializer,
        params.embedding_initializer != "uniform" and params.embedding_initializer,
        params.bigrams.units and f"bigrams {params.bigrams.units}",
        params.wide.buckets and "wide",
        params.dropout.word and f"word dropout {params.dropout.word:g}",
        params.label_smoothing and f"smoothing {params.label_smoothing:g}",
        params.class_weight != "none" and params.class_weight,
        params.adversarial and f"adversarial {params.adversarial:g}",
        schedule.kind != "constant" and schedule.kind,
        schedule.warmup_epochs and f"warm-up {schedule.warmup_epochs:g}",
        params.weight_decay and f"decay {params.weight_decay:g}",
        params.clip_norm and f"clip {params.clip_norm:g}",
        params.average and f"average {params.average:g}",
        params.keep_best and "best epoch",
        f"len {settings_used['pad.max_length']}",
        f"seed {params.seed}",
        dataset != "imdb" and dataset,
        experiment,
    ]
    return SEPARATOR.join(str(part) for part in parts if part)
