"""dvc.yaml is the map: it names exactly what each stage reads and writes."""

import ast
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import evaluate, fetch, pad, train
from tests.conftest import Caller
from tests.project import ROOT, Project
from workflow import files
from workflow.registry import packaging

STAGES = ["fetch", "pad", "train", "evaluate"]
MODULES: dict[str, ModuleType] = {
    "fetch": fetch,
    "pad": pad,
    "train": train,
    "evaluate": evaluate,
}


def read_dvc_yaml() -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    return stages


def outputs_of(stage: str) -> dict[str, dict[str, Any]]:
    """Return DVC's options of each output of a stage, by path."""
    kinds = (read_dvc_yaml()[stage].get(kind, []) for kind in ("outs", "metrics", "plots"))
    return {path: options for kind in kinds for output in kind for path, options in output.items()}


def cached_outputs(stage: str) -> set[str]:
    """Return the outputs of a stage that DVC keeps."""
    return {path for path, options in outputs_of(stage).items() if options.get("cache", True)}


def uncached_outputs(stage: str) -> set[str]:
    """Return the outputs of a stage that git keeps."""
    return set(outputs_of(stage)) - cached_outputs(stage)


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


def reachable_code(module: Path) -> set[Path]:
    """Return a program and all code that computes that it imports, directly or not.

    Imports of `workflow` are not followed: no result depends on what runs and logs a stage.
    """
    found = set[Path]()
    waiting = {module}
    while waiting:
        path = waiting.pop()
        found.add(path)
        computing = {
            other for other in imported_modules(path) if other.is_relative_to(ROOT / "sentiment")
        }
        waiting |= computing - found
    return found


def needed_code(stage: str) -> set[str]:
    """Return the code that a stage depends on. For `evaluate`, it includes a model's own code."""
    paths = reachable_code(ROOT / "stages" / f"{stage}.py")
    if stage == "evaluate":
        paths |= set(packaging.code_files())
    return {str(path.relative_to(ROOT)) for path in paths if path.stem != "__init__"}


def listed_code(stage: Mapping[str, Any]) -> set[str]:
    """Return the modules that a stage of a `dvc.yaml` lists, including modules in its folders."""
    paths = [ROOT / dep for dep in stage["deps"] if not dep.startswith(("data/", "${"))]
    modules = [
        module for path in paths for module in (path.rglob("*.py") if path.is_dir() else [path])
    ]
    return {str(path.relative_to(ROOT)) for path in modules if path.stem != "__init__"}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_exactly_the_code_that_it_needs(stage: str) -> None:
    assert listed_code(read_dvc_yaml()[stage]) == needed_code(stage)


def test_style_of_plots_is_code_of_the_evaluation_alone() -> None:
    listing = [stage for stage in STAGES if "plots.py" in str(listed_code(read_dvc_yaml()[stage]))]
    assert listing == ["evaluate"]


def test_no_stage_lists_what_no_result_depends_on() -> None:
    listed = set[str]().union(*(listed_code(read_dvc_yaml()[stage]) for stage in STAGES))
    modules = [path for path in (ROOT / "sentiment").rglob("*.py") if path.stem != "__init__"]
    unlisted = {str(path.relative_to(ROOT)) for path in modules} - listed
    assert unlisted == {"sentiment/explanation.py", "sentiment/profile.py"}
    assert not [name for name in listed if name.startswith("workflow/")]


@pytest.mark.parametrize("stage", STAGES)
def test_stage_reads_its_own_params(stage: str) -> None:
    assert read_dvc_yaml()[stage]["cmd"] == f"python -m stages.{stage}"
    rule = ["promote"] if stage == "evaluate" else []
    assert read_dvc_yaml()[stage]["params"] == [stage, *rule]


@pytest.mark.parametrize("stage", STAGES)
def test_stage_writes_its_own_folder_and_keeps_it_if_it_fails(stage: str) -> None:
    for path, options in outputs_of(stage).items():
        assert path == f"data/{stage}" or path.startswith(f"data/{stage}/")
        assert options["persist"] is True


@pytest.mark.parametrize("stage", STAGES)
def test_file_in_git_is_a_metric_or_a_plot(stage: str) -> None:
    """Let `dvc metrics` and `dvc plots` show it in a fresh clone."""
    outs = {path for output in read_dvc_yaml()[stage].get("outs", []) for path in output}
    assert outs == cached_outputs(stage)


@pytest.fixture
def read_paths(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Record the files of `data/` that are read, except `about.json`, which has their digests."""
    paths: set[Path] = set()
    verified = files.verified
    read_json = files.read_json

    def record_verified(path: Path, digests: Any = None) -> Path:
        paths.add(path)
        return verified(path, digests)

    def record_json(path: Path) -> Any:
        paths.add(path)
        return read_json(path)

    monkeypatch.setattr(files, "verified", record_verified)
    monkeypatch.setattr(files, "read_json", record_json)
    return paths


@pytest.mark.slow
@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_exactly_the_data_that_it_reads(
    call: Caller, read_paths: set[Path], stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Logging reads more, on which no result depends.
    if stage == "train":
        monkeypatch.setattr(MODULES[stage], "publish", lambda: None)
    elif stage == "evaluate":
        monkeypatch.setattr(MODULES[stage], "publish_or_explain", lambda _: None)
    call(MODULES[stage].main)
    listed = {Path(dep) for dep in read_dvc_yaml()[stage]["deps"] if dep.startswith("data/")}
    in_data = {path for path in read_paths if path.parts[0] == "data"}
    read = {path for path in in_data if path.parent != Path("data", stage)}
    assert {path for path in read if not listed & {path, path.parent}} == set()
    assert {dep for dep in listed if not any(dep in (path, path.parent) for path in read)} == set()


@pytest.mark.slow
def test_each_stage_wrote_what_dvc_yaml_lists(project: Project) -> None:
    for stage in ("train", "evaluate"):
        assert set(project.contents(f"data/{stage}")) == set(outputs_of(stage))
