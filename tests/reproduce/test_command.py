"""A run is reproduced in a worktree, and a result that differs is noticed."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest

from sentiment.errors import UserError
from sentiment.project.paths import Project
from sentiment.project.provenance import COMMIT
from sentiment.reproduce.comparison import DIFFERS, EQUAL, Reproduction
from sentiment.reproduce.record import RecordedRun
from sentiment.reproduce.worktree import worktree
from tests.command import Command
from tests.logged import runs
from tests.small_project import ProjectCopy, enter

pytestmark = pytest.mark.slow
REPRODUCE = ("python", "-m", "sentiment", "reproduce")


@pytest.fixture(scope="module")
def recorded(clone: ProjectCopy, tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """Return a project in which DVC has run the pipeline, with other params than the committed.

    Its user has installed DVC's hooks for git.
    """
    project = clone.copy(tmp_path_factory.mktemp("recorded") / "project")
    project.run("dvc", "install")
    project.change(train={"units": 3})
    project.run("dvc", "repro", "--quiet")
    return project


def test_a_run_is_reproduced_to_the_bit_and_nothing_is_added(recorded: ProjectCopy) -> None:
    before = recorded.contents("data")
    cache = recorded.contents(".dvc/cache").keys()  # `dvc repro` would restore what is added to it
    printed = recorded.run(*REPRODUCE)
    assert "All compared results are the same, bit for bit." in printed
    assert printed.count(" equal\n") == 4
    assert "Epoch 2/2" in printed  # it was trained, and not taken from DVC's cache
    assert recorded.contents("data") == before
    assert recorded.contents(".dvc/cache").keys() == cache
    assert recorded.run("git", "worktree", "list").count("\n") == 1


def test_another_result_is_noticed(recorded: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    enter(recorded, monkeypatch)
    (run,) = runs()
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/params.yaml")
    assert "seed: 42" in text
    client = MlflowClient()
    client.log_text(run.info.run_id, text.replace("seed: 42", "seed: 43"), "params.yaml")
    try:
        printed = recorded.fail(*REPRODUCE, run.info.run_id[:8])
    finally:
        client.log_text(run.info.run_id, text, "params.yaml")
    assert "data/pad                       equal" in printed
    assert "data/train                     DIFFERS" in printed
    assert "Test accuracy 0." in printed


def recorded_run(project: ProjectCopy, folder: Path, table: str, **params: Any) -> RecordedRun:
    """Return a run of the last commit that was trained on a table."""
    fetch = {"deps": [{"path": table}], "outs": [{"path": "data/fetch"}]}
    pad = {"deps": [{"path": "data/fetch"}], "outs": [{"path": "data/pad"}]}
    lock = {"stages": {"fetch": fetch, "pad": pad}}
    (folder / "dvc.lock").write_text(json.dumps(lock), encoding="utf-8")
    commit = project.read("git", "rev-parse", "HEAD").strip()
    return RecordedRun("0123", "default", {COMMIT: commit}, params, folder)


def test_a_table_that_dvc_tracks_is_in_the_worktree(fresh: ProjectCopy, tmp_path: Path) -> None:
    table = fresh.path / "my table.csv"
    table.write_text("text,label\na fine film,positive\n", encoding="utf-8")
    fresh.run("dvc", "add", table.name)
    fresh.commit()
    table.unlink()
    run = recorded_run(fresh, tmp_path, table.name)
    with worktree(Project.here(), run, tmp_path / "worktree") as copy:
        assert "a fine film" in (copy.folder / table.name).read_text(encoding="utf-8")


def test_a_table_that_nothing_tracks_is_named(fresh: ProjectCopy, tmp_path: Path) -> None:
    run = recorded_run(fresh, tmp_path, "own.csv")
    with (
        pytest.raises(UserError, match=r"was trained on own\.csv, which its commit does not have"),
        worktree(Project.here(), run, tmp_path / "worktree"),
    ):
        pass
    assert not (tmp_path / "worktree").exists()


def test_a_run_of_before_a_param_was_added_has_the_params_of_its_commit(
    fresh: ProjectCopy, tmp_path: Path
) -> None:
    params = fresh.path / "params.yaml"
    kept = [
        line for line in params.read_text(encoding="utf-8").splitlines() if "patience" not in line
    ]
    params.write_text("\n".join(kept), encoding="utf-8")
    fresh.commit()
    run = recorded_run(fresh, tmp_path, "params.yaml", train={"units": 9})
    with worktree(Project.here(), run, tmp_path / "worktree") as copy:
        text = copy.params_file.read_text(encoding="utf-8")
    assert "units: 9" in text
    assert "patience" not in text


def test_a_commit_that_is_not_there_is_named(fresh: ProjectCopy, tmp_path: Path) -> None:
    run = recorded_run(fresh, tmp_path, "params.yaml")._replace(tags={COMMIT: "a" * 40})
    with (
        pytest.raises(UserError, match="does not have the commit a"),
        worktree(Project.here(), run, tmp_path / "worktree"),
    ):
        pass


def test_the_params_of_a_run_are_written(project: ProjectCopy, sentiment: Command) -> None:
    (run,) = runs()
    project.change(train={"units": 9}, evaluate={"threshold": 0.25})
    printed = sentiment("reproduce", "--params", run.info.run_id[:8])
    assert "train.units: 9 -> 4" in printed
    assert "evaluate.threshold: 0.25 -> 0.5" in printed
    assert "has these values already" in sentiment("reproduce", "--params")


def test_a_run_without_the_lock_of_dvc_says_what_it_lacks(
    project: ProjectCopy, sentiment: Command
) -> None:
    assert Project.here().run_file.exists()
    printed = sentiment.fail("reproduce")
    assert "lacks what it takes to run it again: the artifact dvc.lock" in printed
    assert project.path.exists()


def test_one_result_that_differs_is_enough() -> None:
    for states, is_equal in (({"a": EQUAL, "b": DIFFERS}, False), ({"a": EQUAL}, True)):
        assert Reproduction(states, {}, (0.5, 0.5)).is_equal is is_equal
