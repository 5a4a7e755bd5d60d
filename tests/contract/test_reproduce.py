"""A run is run again in a clone, and its results are compared bit by bit."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import runs, use_store
from tests.contract import names
from tests.contract.conftest import Story
from tests.project import Project

pytestmark = pytest.mark.slow
EQUAL = "All results are the same, bit for bit."


def contents(project: Project) -> dict[str, bytes]:
    """Return the content of each file of a project but of git's and of Python's caches."""
    paths = {path.relative_to(project.path): path for path in project.path.rglob("*")}
    return {
        str(name): path.read_bytes()
        for name, path in paths.items()
        if path.is_file() and not {".git", "__pycache__", "tmp"} & {*name.parts}
    }


def test_the_run_of_the_results_is_equal_and_the_project_stays_as_it_was(
    project: Project,
) -> None:
    before = contents(project)
    assert "mlflow.db" in before
    printed = project.run(*names.REPRODUCE).splitlines()
    assert printed[-1] == EQUAL
    results = [line.split()[-1] for line in printed if re.match("  (data|metrics)", line)]
    assert set(results) == {"equal"}
    assert len(results) == 7
    assert contents(project) == before


@pytest.mark.parametrize("units", ["5", "6"])
def test_a_run_with_uncommitted_params_or_of_an_experiment_is_equal(
    told: Story, units: str
) -> None:
    """Reproduce a run whose params were edited, and one that ran in DVC's queue."""
    (run,) = (run for run in runs() if run.data.params["train.units"] == units)
    printed = told.project.run(*names.REPRODUCE, run.info.run_id)
    assert printed.splitlines()[-1] == EQUAL


def test_the_data_of_a_run_come_from_a_remote_if_the_cache_is_lost(project: Project) -> None:
    project.run("dvc", "remote", "add", "--default", "store", "../my remote")
    project.run("dvc", "push")
    (run,) = runs()
    shutil.rmtree(project.path / ".dvc" / "cache")
    project.change(fetch={"dataset": "table"})
    project.run("dvc", "repro", "fetch")
    printed = project.run(*names.REPRODUCE, run.info.run_id)
    assert "python -m stages pad" in printed
    assert "python -m stages fetch" not in printed
    assert printed.splitlines()[-1] == EQUAL


def test_a_run_whose_results_differ_says_what_differs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(project, monkeypatch)
    (run,) = runs()
    printed = project.fail(*names.REPRODUCE, run.info.run_id, XLA_FLAGS="--xla_cpu_max_isa=SSE4_2")
    assert "xla: --xla_cpu_prefer_vector_width=512 then, --xla_cpu_max_isa=SSE4_2 now" in printed
    assert "data/pad                       equal" in printed
    assert "data/evaluate/predictions.csv  DIFFERS" in printed
    assert "This is expected" in printed


def test_a_run_with_uncommitted_code_is_equal_after_the_code_was_changed_back(
    project: Project,
) -> None:
    model = project.path / "sentiment" / "network" / "model.py"
    code = model.read_text(encoding="utf-8")
    head = 'name="probability"'
    model.write_text(
        code.replace(head, f'{head}, kernel_initializer="he_normal"'), encoding="utf-8"
    )
    project.run(*names.REPRO)
    (run, first) = runs()
    assert run.data.metrics["loss"] != first.data.metrics["loss"]
    model.write_text(code, encoding="utf-8")
    assert project.run(*names.REPRODUCE, run.info.run_id).splitlines()[-1] == EQUAL


def test_the_params_of_a_run_are_written(project: Project) -> None:
    (run,) = runs()
    project.change(train={"units": 9})
    printed = project.run(*names.PRESET, "--run", run.info.run_id)
    assert "train.units: 9 -> 4" in printed
    assert "Data and pipelines are up to date" in project.run(*names.REPRO)


def test_the_stages_run_without_dvc(clone: Project, finished_story: Story, tmp_path: Path) -> None:
    """Let every import of DVC fail."""
    bare = clone.copy(tmp_path / "bare")
    (bare.path / "dvc.py").write_text("raise ImportError('there is no DVC')\n", encoding="utf-8")
    for stage in ("fetch", "pad", "train", "evaluate"):
        printed = bare.run(sys.executable, "-m", "stages", stage)
    assert "Test Accuracy: 0." in printed
    predictions = (bare.path / names.PREDICTIONS).read_bytes()
    assert predictions == (finished_story.project.path / names.PREDICTIONS).read_bytes()
