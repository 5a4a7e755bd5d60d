"""dvc.yaml is the map: it names what each stage reads and writes."""

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.small_project import ROOT, ProjectCopy

STAGES = ("fetch", "pad", "train", "evaluate")
# They change no result: DVC compares the params themselves, and messages are no outputs.
NOT_LISTED = {"sentiment/params.py", "sentiment/errors.py", "sentiment/terminal.py"}
KEEPING = ("sentiment/project", "sentiment/tracking")  # what keeps files and logs results


def read_dvc_yaml() -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    return stages


def imported_modules(path: Path) -> set[Path]:
    """Return the project's modules that a module imports directly, except for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    named: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            start = path.parents[node.level - 1] if node.level else ROOT
            base = start.joinpath(*(node.module or "").split("."))
            named |= {base, *(base / alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            named |= {ROOT.joinpath(*alias.name.split(".")) for alias in node.names}
    modules = {path.with_suffix(".py") for path in named if path.is_relative_to(ROOT)}
    return {module for module in modules if module.is_file()}


def computing_code(stage: str) -> set[str]:
    """Return the paths of all code that computes what a stage writes.

    What `KEEPING` and `NOT_LISTED` import is not followed: no result depends on what runs and logs
    a stage.
    """
    found = set[Path]()
    waiting = {ROOT / "stages" / f"{stage}.py"}
    while waiting:
        path = waiting.pop()
        found.add(path)
        computing = {
            other
            for other in imported_modules(path)
            if other.is_relative_to(ROOT / "sentiment")
            and not any(other.is_relative_to(ROOT / folder) for folder in KEEPING)
        }
        waiting |= computing - found - {ROOT / name for name in NOT_LISTED}
    return {str(path.relative_to(ROOT)) for path in found}


def listed_code(stage: str) -> set[str]:
    """Return the modules that dvc.yaml lists for a stage, including those in its folders."""
    listed = set[str]()
    for dependency in read_dvc_yaml()[stage]["deps"]:
        path = ROOT / dependency
        modules = path.rglob("*.py") if path.is_dir() else [path]
        listed |= {str(module.relative_to(ROOT)) for module in modules if module.suffix == ".py"}
    return listed


def test_the_pipeline_has_four_stages() -> None:
    assert tuple(read_dvc_yaml()) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_code_that_computes_what_it_writes(stage: str) -> None:
    assert computing_code(stage) <= listed_code(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_depends_on_code_that_stores_and_logs(stage: str) -> None:
    assert not [path for path in listed_code(stage) if path.startswith(KEEPING)]


def test_a_changed_plot_does_not_retrain() -> None:
    plots = "sentiment/evaluation/plots.py"
    assert [stage for stage in STAGES if plots in listed_code(stage)] == ["evaluate"]


def test_the_training_depends_on_the_section_that_model_names_and_on_no_other() -> None:
    assert read_dvc_yaml()["train"]["params"] == ["model", "seed", "${model}"]


def test_the_padding_depends_on_what_decides_the_rows_and_the_vectors() -> None:
    section = [
        f"${{model}}.{name}" for name in ("num_words", "max_length", "padding", "truncating")
    ]
    assert read_dvc_yaml()["pad"]["params"] == ["vectors", *section]


def outputs(stage: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path of each output of a stage, and DVC's options of it."""
    for kind in ("outs", "metrics", "plots"):
        for output in read_dvc_yaml()[stage].get(kind, []):
            if isinstance(output, str):
                yield output, {}
            else:
                yield from output.items()


def test_dvc_can_restore_each_stage() -> None:
    """`persist` and `always_changed` would switch DVC's run cache off."""
    for stage in STAGES:
        assert "always_changed" not in read_dvc_yaml()[stage]
        assert not [path for path, options in outputs(stage) if "persist" in options]


@pytest.mark.slow
def test_dvc_keeps_the_folders_in_data_and_git_the_files_in_metrics() -> None:
    for stage in STAGES:
        for path, options in outputs(stage):
            is_in_git = options.get("cache", True) is False
            assert path.startswith("metrics/" if is_in_git else "data/")
    in_data = {path for stage in STAGES for path, _ in outputs(stage) if path.startswith("data/")}
    ignored = subprocess.run(
        ["git", "check-ignore", *in_data],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(ignored.stdout.splitlines()) == in_data


@pytest.mark.slow
def test_each_stage_writes_what_dvc_yaml_lists(finished: ProjectCopy) -> None:
    listed = {path for stage in STAGES for path, _ in outputs(stage)}
    metrics = set(finished.contents("metrics"))
    assert metrics == {path for path in listed if path.startswith("metrics/")}
    in_data = {path for path in listed if path.startswith("data/")}
    assert in_data == {*(f"data/{stage}" for stage in STAGES), "data/run.json"}
    assert all((finished.path / path).exists() for path in in_data)


def test_groups_of_lengths_are_drawn_from_short_to_long() -> None:
    """DVC's own template sorts them as words: 14-20 before 2-13."""
    (plot,) = [options for path, options in outputs("evaluate") if path == "metrics/lengths.csv"]
    template = json.loads((ROOT / ".dvc/plots" / f"{plot['template']}.json").read_text())
    assert template["encoding"]["y"]["sort"] == {"field": "shortest", "op": "min"}
