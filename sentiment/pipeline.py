"""The stages and their folders, and what `dvc.yaml` and `dvc.lock` say of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sentiment import files

STAGES = ("fetch", "pad", "train", "evaluate")
FETCH, PAD, TRAIN, EVALUATE = (files.DATA / stage for stage in STAGES)
CACHE = Path(".dvc", "cache", "files", "md5")


def code_digests(stages: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the code that `dvc.yaml` lists for these stages, by path."""
    declared = _stages(Path("dvc.yaml"))
    paths = {dep for name in stages for dep in declared[name]["deps"] if Path(dep).suffix == ".py"}
    return {path: files.sha256(Path(path)) for path in sorted(paths)}


def is_cached(stage: str) -> bool:
    """Whether DVC's cache, at its usual place, has all outputs of the stage's last good run."""
    outputs = _stages(Path("dvc.lock")).get(stage, {}).get("outs", [])
    digests = [out["md5"] for out in outputs]
    return bool(digests) and all((files.root() / CACHE / d[:2] / d[2:]).exists() for d in digests)


def _stages(document: Path) -> dict[str, Any]:
    """The stages of a document; none where it is missing."""
    if not document.exists():
        return {}
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(document)["stages"]
    return stages
