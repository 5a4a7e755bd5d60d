"""DVC says which results differ from dvc.lock."""

from pathlib import Path
from typing import Any

import pytest

from sentiment.errors import UserError
from sentiment.project.files.paths import Project
from sentiment.project.versioning.dvc import changed_outputs, differing_outputs, read_model_stages
from tests.locks import write_lock
from tests.small_project import ProjectCopy

STAGE = """
stages:
  pad:
    cmd: mkdir -p data/pad metrics && echo 1 > data/pad/x && echo 1 > metrics/pad.csv
    deps: [code.py]
    outs: [data/pad]
    plots: [metrics/pad.csv: {cache: false}]
"""
MODIFIED = "modified"
HERE = Project(Path(), Path())


@pytest.mark.parametrize(
    ("entries", "differing"),
    [
        ([{"changed outs": {"data/train": MODIFIED}}], ["data/train"]),
        ([{"changed outs": {"metrics/train.json": "deleted"}}], ["metrics/train.json"]),
        ([{"changed deps": {"data/pad": MODIFIED}}], ["data/pad"]),
        (
            [{"changed deps": {"data/pad": MODIFIED}}, {"changed outs": {"data/pad": MODIFIED}}],
            ["data/pad"],
        ),
        ([{"changed outs": {"data/train": "not in cache"}}], []),
        ([{"changed deps": {"params.yaml": {"lstm.units": MODIFIED}}}], []),
        ([{"changed deps": {"sentiment/model": MODIFIED, "data/own.csv": MODIFIED}}], []),
        (["changed command"], []),
    ],
)
def test_changed_results_differ_and_changed_params_code_and_tables_do_not(
    entries: list[Any], differing: list[str]
) -> None:
    assert differing_outputs(HERE, {"train": entries}) == differing


def test_all_stages_are_looked_at() -> None:
    outs = {name: [{"changed outs": {f"data/{name}": MODIFIED}}] for name in ("train", "fetch")}
    assert differing_outputs(HERE, outs) == ["data/fetch", "data/train"]
    assert differing_outputs(HERE, {}) == []


@pytest.fixture
def here(in_tmp_path: Path) -> Project:
    """Return a project with the record of a run and the dvc.lock of its training."""
    (in_tmp_path / "data").mkdir()
    project = Project.here()
    project.run_file.write_text("{}", encoding="utf-8")
    write_lock(project, project.run_file)
    return project


def test_a_lock_has_the_stages_that_a_model_was_made_with(here: Project) -> None:
    stages = read_model_stages(here, here.run_file)
    assert stages is not None
    assert stages.keys() == {"fetch", "pad", "train"}


def test_a_lock_with_another_run_is_of_another_training(here: Project) -> None:
    here.run_file.write_text('{"run_id": "another"}', encoding="utf-8")
    assert read_model_stages(here, here.run_file) is None


def test_without_dvc_there_is_no_lock(here: Project) -> None:
    here.dvc_lock.unlink()
    assert read_model_stages(here, here.run_file) is None


@pytest.mark.slow
@pytest.mark.usefixtures("in_tmp_path")
def test_results_that_were_changed_after_their_stage_differ() -> None:
    project = ProjectCopy(Path.cwd())
    Path("dvc.yaml").write_text(STAGE, encoding="utf-8")
    Path("code.py").write_text("before", encoding="utf-8")
    project.run("dvc", "init", "--no-scm", "--quiet")
    project.run("dvc", "repro", "--no-commit")
    assert changed_outputs(Project.here()) == []
    project.run("dvc", "commit", "--force")
    Path("code.py").write_text("after", encoding="utf-8")
    assert changed_outputs(Project.here()) == []
    for path in ("data/pad/x", "metrics/pad.csv"):
        Path(path).write_text("changed", encoding="utf-8")
    assert changed_outputs(Project.here()) == ["data/pad", "metrics/pad.csv"]


@pytest.mark.slow
@pytest.mark.usefixtures("in_tmp_path")
def test_a_folder_that_dvc_does_not_know_is_one_message() -> None:
    Path("dvc.yaml").touch()
    with pytest.raises(UserError, match=r"dvc status failed: .*not inside of a DVC repository"):
        changed_outputs(Project.here())
