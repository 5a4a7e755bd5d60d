"""dvc.yaml is the map: it names exactly what each stage reads and writes."""

import ast
from typing import Any

import pytest
from ruamel.yaml import YAML

from .project import ROOT

STAGES = ["fetch", "pad", "train", "evaluate"]


def declared() -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    return stages


def imported(module: str) -> set[str]:
    """The project's modules that a module imports, directly."""
    tree = ast.parse((ROOT / "stages" / f"{module}.py").read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "stages":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stages."):
            names.add(str(node.module).removeprefix("stages."))
    return names


def reachable(module: str) -> set[str]:
    """A module and all that it imports from the project, over any number of steps."""
    found, waiting = set[str](), {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= imported(name) - found
    return found


def test_the_stages_are_declared_in_the_order_the_data_flows() -> None:
    assert list(declared()) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_exactly_the_modules_it_imports(stage: str) -> None:
    listed = {dep for dep in declared()[stage]["deps"] if dep.startswith("stages/")}
    served = {"served"} if "registry" in reachable(stage) else set()  # MLflow imports that one
    assert listed == {f"stages/{module}.py" for module in reachable(stage) | served}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_reads_its_own_params_and_writes_its_own_folder(stage: str) -> None:
    assert declared()[stage]["cmd"] == f"python -m stages.{stage}"
    rules = ["promote"] if stage == "evaluate" else []
    assert declared()[stage]["params"] == [stage, *rules]
    assert declared()[stage]["outs"] == [f"data/{stage}"]


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_the_folders_its_module_names(stage: str) -> None:
    source = (ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    read = {f"data/{other}" for other in STAGES if f'files.DATA / "{other}"' in source}
    listed = {dep for dep in declared()[stage]["deps"] if dep.startswith("data/")}
    assert listed == read - {f"data/{stage}"}


def test_pictures_do_not_belong_to_training() -> None:
    assert "stages/figures.py" not in declared()["train"]["deps"]


@pytest.mark.parametrize("stage", ["fetch", "pad"])
def test_preparing_data_needs_neither_tensorflow_nor_mlflow(stage: str) -> None:
    code = ROOT / "stages"
    for module in reachable(stage):
        source = (code / f"{module}.py").read_text(encoding="utf-8")
        for package in ("tensorflow", "keras", "mlflow"):
            assert f"import {package}" not in source
            assert f"from {package}" not in source
