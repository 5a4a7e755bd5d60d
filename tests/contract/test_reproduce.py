"""A run is run again in a clone, and its results are compared bit for bit."""

import re
import shutil

import pytest

from tests.conftest import runs
from tests.contract import names
from tests.contract.conftest import Commands
from tests.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]
EQUAL = "All results are the same, bit for bit."


def contents(project: Project) -> dict[str, bytes]:
    """Return the content of each file of a project but of git's and of Python's caches."""
    paths = {path.relative_to(project.path): path for path in project.path.rglob("*")}
    return {
        str(name): path.read_bytes()
        for name, path in paths.items()
        if path.is_file() and not {".git", "__pycache__", "tmp"} & {*name.parts}
    }


def test_a_run_of_dvcs_queue_with_uncommitted_code_and_params_is_equal(
    experiments: Commands,
) -> None:
    (run,) = (run for run in runs() if run.data.params["train.units"] == "6")
    printed = experiments.project.run(*names.REPRODUCE, run.info.run_id)
    assert printed.splitlines()[-1] == EQUAL


def test_the_run_of_the_results_is_equal_with_data_of_a_remote_and_the_project_stays_as_it_was(
    pipeline_copy: Project,
) -> None:
    pipeline_copy.run("dvc", "remote", "add", "--default", "store", "../my remote")
    pipeline_copy.run("dvc", "push")
    shutil.rmtree(pipeline_copy.path / ".dvc" / "cache")
    pipeline_copy.change(fetch={"dataset": "table"})
    pipeline_copy.run("dvc", "repro", "fetch")
    before = contents(pipeline_copy)
    assert "mlflow.db" in before
    printed = pipeline_copy.run(*names.REPRODUCE)
    assert "python -m stages pad" in printed
    assert "python -m stages fetch" not in printed
    lines = printed.splitlines()
    results = [line.split()[-1] for line in lines if re.match("  (data|metrics)", line)]
    assert results == ["equal"] * 7
    assert lines[-1] == EQUAL
    assert contents(pipeline_copy) == before
