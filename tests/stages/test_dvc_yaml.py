"""dvc.yaml is the map: it names exactly what each stage reads and writes."""

import ast
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.project import ROOT, run_code
from workflow.registry import packaging

STAGES = ["fetch", "pad", "train", "evaluate"]


def declared() -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    return stages


def path_of(output: str | dict[str, Any]) -> str:
    return output if isinstance(output, str) else next(iter(output))


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
    return {path_of(output) for output in listed}


def imported(path: Path) -> set[Path]:
    """The project's modules that a module imports, directly."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named: set[Path] = set()
    for node in ast.walk(tree):
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


def test_packages_are_empty_so_that_no_stage_depends_on_them() -> None:
    tops = (ROOT / "sentiment", ROOT / "workflow")
    for path in [path for top in tops for path in top.rglob("__init__.py")]:
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr)


def test_only_stages_are_in_stages_and_declared_in_the_order_the_data_flows() -> None:
    names = {path.stem for path in (ROOT / "stages").glob("*.py")}
    assert names == {"__init__", *STAGES}
    assert list(declared()) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_exactly_the_code_it_needs(stage: str) -> None:
    assert listed_code(declared()[stage]) == needed(ROOT / "stages" / f"{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_stage_reads_its_own_params_and_writes_its_own_folder(stage: str) -> None:
    assert declared()[stage]["cmd"] == f"exec python -m stages.{stage}"  # DVC's direct child
    rules = ["promote"] if stage == "evaluate" else []
    assert declared()[stage]["params"] == [stage, *rules]
    for name in cached(stage) | uncached(stage):
        assert name == f"data/{stage}" or name.startswith(f"data/{stage}/")


def test_git_keeps_metrics_and_summaries_and_nothing_with_a_row_for_each_review() -> None:
    kept = {
        "train": ("gradients.csv", "history.csv", "metrics.json"),
        "evaluate": (
            *("confusion.csv", "gradients.csv", "lengths.csv", "metrics.json"),
            *("reliability.csv", "roc.csv"),
        ),
    }
    assert {name for stage in STAGES for name in uncached(stage)} == {
        f"data/{stage}/{name}" for stage, names in kept.items() for name in names
    }


def test_git_ignores_what_dvc_keeps_so_that_dvc_adds_no_gitignore_to_a_stage_s_folder() -> None:
    outputs = [name for stage in STAGES for name in sorted(cached(stage) | uncached(stage))]
    command = ["git", "check-ignore", "--no-index", *outputs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()) == {name for stage in STAGES for name in cached(stage)}


@pytest.mark.parametrize("stage", STAGES)
def test_what_git_keeps_is_a_metric_or_a_plot_of_dvc(stage: str) -> None:
    """Any other output with `cache: false` would keep the stage out of DVC's run cache."""
    for kind, suffix in (("metrics", ".json"), ("plots", ".csv")):
        listed = {path_of(output) for output in declared()[stage].get(kind, [])}
        assert listed == {name for name in uncached(stage) if name.endswith(suffix)}


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


def test_plots_are_drawn_from_what_git_keeps() -> None:
    """A fresh clone has no other file, over which DVC would warn."""
    kept = {name for stage in STAGES for name in uncached(stage)}
    plots = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["plots"]
    assert {name for plot in plots for axes in plot.values() for name in axes["y"]} <= kept


def test_plots_do_not_belong_to_training() -> None:
    assert "sentiment/scoring/plots.py" not in listed_code(declared()["train"])


def test_preparing_data_imports_neither_tensorflow_nor_mlflow() -> None:
    heavy = "{'tensorflow', 'keras', 'mlflow'} & set(sys.modules)"
    assert run_code(f"import sys, stages.fetch, stages.pad; print({heavy})").stdout == "set()\n"
