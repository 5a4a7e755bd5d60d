"""dvc.yaml is the map: it names exactly what each stage reads and writes."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.project import ROOT
from workflow.registry import packaging

STAGES = ["fetch", "pad", "train", "evaluate"]


def declared() -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    return stages


def outputs_of(stage: str) -> list[str | dict[str, Any]]:
    """What a stage writes, as `dvc.yaml` lists it."""
    stages = declared()
    kinds = (stages[stage].get(kind, []) for kind in ("outs", "metrics", "plots"))
    return [output for outputs in kinds for output in outputs]


def cached(stage: str) -> set[str]:
    """The outputs that DVC keeps."""
    return {output for output in outputs_of(stage) if isinstance(output, str)}


def uncached(stage: str) -> set[str]:
    """The outputs that git keeps."""
    listed = [output for output in outputs_of(stage) if isinstance(output, dict)]
    assert not any(options["cache"] for output in listed for options in output.values())
    return set[str]().union(*listed)


def imported(path: Path) -> set[Path]:
    """The project's modules that a module imports, directly and not only for its types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [*ast.walk(tree)]
    for node in nodes:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for_types = {*ast.walk(node)}
            nodes = [node for node in nodes if node not in for_types]
    named: set[Path] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            start = path.parents[node.level - 1] if node.level else ROOT
            base = start.joinpath(*(node.module or "").split("."))
            named |= {base, *(base / alias.name for alias in node.names)}
    modules = {path.with_suffix(".py") for path in named if path.is_relative_to(ROOT)}
    return {module for module in modules if module.is_file()}


def reachable(module: Path) -> set[str]:
    """A program and all computing code that it imports, over any number of steps.

    Nothing is followed into `workflow`: what runs and logs a stage shapes no result.
    """
    seen, waiting = set[Path](), {module}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        new = imported(path) - seen
        waiting |= {
            path for path in new if path.relative_to(ROOT).parts[0] in ("sentiment", "extras")
        }
    return {str(path.relative_to(ROOT)) for path in seen}


def needed(module: Path) -> set[str]:
    """The code that a stage depends on: what it reaches and, whole, what it packs with a model."""
    packs = re.search(r"\bpublish\w*\(", module.read_text(encoding="utf-8"))
    packed = {str(path.relative_to(ROOT)) for path in packaging.CODE if packs}
    return {name for name in reachable(module) | packed if not name.endswith("__init__.py")}


def listed_code(stage: Mapping[str, Any]) -> set[str]:
    """The modules that a stage of a `dvc.yaml` lists, those of its folders included."""
    paths = [ROOT / dep for dep in stage["deps"] if not dep.startswith(("data/", "${"))]
    modules = [
        path for place in paths for path in (place.rglob("*.py") if place.is_dir() else [place])
    ]
    return {str(path.relative_to(ROOT)) for path in modules if path.stem != "__init__"}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_exactly_the_code_it_needs(stage: str) -> None:
    """A change of how plots look does not train anew."""
    assert ("sentiment/evaluation/plots.py" in listed_code(declared()[stage])) == (
        stage == "evaluate"
    )
    assert listed_code(declared()[stage]) == needed(ROOT / "stages" / f"{stage}.py")


def test_what_shapes_no_result_is_in_no_stage() -> None:
    """What runs, keeps and logs; what explains an answer; what is kept with a version."""
    listed = set[str]().union(*map(listed_code, declared().values()))
    modules = [path for path in (ROOT / "sentiment").rglob("*.py") if path.stem != "__init__"]
    elsewhere = {str(path.relative_to(ROOT)) for path in modules} - listed
    assert elsewhere == {"sentiment/explanation.py", "sentiment/profile.py"}
    assert not [name for name in listed if name.startswith("workflow/")]


@pytest.mark.parametrize("stage", STAGES)
def test_stage_reads_its_own_params_and_writes_its_own_folder(stage: str) -> None:
    assert declared()[stage]["cmd"] == f"exec python -m stages.{stage}"  # DVC's direct child
    rules = ["promote"] if stage == "evaluate" else []
    assert declared()[stage]["params"] == [stage, *rules]
    for name in cached(stage) | uncached(stage):
        assert name == f"data/{stage}" or name.startswith(f"data/{stage}/")


@pytest.mark.parametrize("stage", STAGES)
def test_what_git_keeps_is_a_metric_or_a_plot_of_dvc(stage: str) -> None:
    """Any other output with `cache: false` would keep the stage out of DVC's run cache."""
    assert set(declared()[stage].get("outs", [])) == cached(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_the_folders_it_reads(stage: str) -> None:
    """A stage names its folders; `evaluate` reads the others' through `workflow.evaluation`."""
    source = (ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    evaluates = {"fetch", "pad", "train"} if "read_test" in source else set()
    read = {f"data/{name}" for name in STAGES if name in evaluates or name.upper() in source}
    listed = [Path(dep).parts for dep in declared()[stage]["deps"] if dep.startswith("data/")]
    assert {"/".join(parts[:2]) for parts in listed} == read - {f"data/{stage}"}


def test_evaluate_depends_on_the_files_that_it_reads_of_a_training() -> None:
    paths = ("workflow/evaluation.py", "stages/evaluate.py")
    source = "".join((ROOT / path).read_text(encoding="utf-8") for path in paths)
    written = cached("train") | uncached("train")
    named = {name for name in written if f'TRAIN / "{Path(name).name}"' in source}
    read = named | {"data/train/about.json"}  # of which files.checked reads the digests
    assert set(declared()["evaluate"]["deps"]) & written == read
