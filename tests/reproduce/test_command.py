"""A run is reproduced in a worktree, and a result that differs is noticed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from sentiment.errors import UserError
from sentiment.project.files.documents import read_json, write_json
from sentiment.project.files.params_file import read_yaml
from sentiment.project.files.paths import PREDICTIONS_FILE, Project
from sentiment.project.training.provenance import COMMIT
from sentiment.reproduce.comparison import DIFFERS, compare_results
from sentiment.reproduce.record import RecordedRun
from sentiment.reproduce.worktree import check_dependencies, worktree
from sentiment.tracking.runs import DIFF_ARTIFACT
from tests import names
from tests.command import Command
from tests.command_log import CommandLog
from tests.logged import runs
from tests.small_project import ProjectCopy, enter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(pipeline_once: CommandLog, tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """Return a project in which DVC has run the pipeline. Its user has installed DVC's hooks."""
    project = pipeline_once.project.copy(tmp_path_factory.mktemp("recorded") / "project")
    project.run("dvc", "install")
    return project


def test_a_run_is_reproduced_to_the_bit_and_nothing_is_added(
    recorded: ProjectCopy,
    sentiment: Command,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    enter(recorded, monkeypatch)
    before = recorded.contents("data")
    cache = recorded.contents(".dvc/cache").keys()  # `dvc repro` would restore what is added to it
    printed = sentiment("reproduce")
    assert "All compared results are the same, bit for bit." in printed
    assert printed.count(" equal\n") == 4
    assert " 2/2 " in capfd.readouterr().out  # it was trained, and not taken from DVC's cache
    assert recorded.contents("data") == before
    assert recorded.contents(".dvc/cache").keys() == cache
    assert recorded.run("git", "worktree", "list").count("\n") == 1


def test_another_result_is_said_and_is_the_exit_status(
    recorded: ProjectCopy, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_another_model(project: Project, _: object, copy: Project, __: Path) -> None:
        lock = read_yaml(project.dvc_lock)
        (model,) = (out for out in lock["stages"]["train"]["outs"] if out["path"] == "data/train")
        model["md5"] = "0123"
        write_json(copy.dvc_lock, lock)
        shutil.copytree(project.evaluated, copy.folder / project.evaluated)

    enter(recorded, monkeypatch)
    monkeypatch.setattr("sentiment.reproduce.worktree.run_stages", give_another_model)
    printed = sentiment.fail("reproduce", read_json(Path("data/run.json"))["run_id"][:8])
    assert printed.count(" equal\n") == 3
    assert "data/train                     DIFFERS" in printed
    assert "Test accuracy 0." in printed


def test_predictions_that_differ_are_noticed(recorded: ProjectCopy, tmp_path: Path) -> None:
    project = Project(recorded.path, recorded.path)
    for path in (project.dvc_lock, project.evaluated / PREDICTIONS_FILE):
        shutil.copy(recorded.path / path, tmp_path)
    table = (tmp_path / PREDICTIONS_FILE).read_text(encoding="utf-8")
    (tmp_path / PREDICTIONS_FILE).write_text(table.replace("0.", "0.0", 1), encoding="utf-8")
    run = RecordedRun("0123", "lstm", {}, {}, tmp_path)
    states = compare_results(run, project).states
    assert [path for path, state in states.items() if state == DIFFERS] == [
        "data/evaluate/predictions.csv"
    ]


def recorded_run(project: ProjectCopy, folder: Path, table: str, **params: Any) -> RecordedRun:
    """Return a run of the last commit that was trained on a table."""
    fetch = {"deps": [{"path": table}], "outs": [{"path": "data/fetch"}]}
    pad = {"deps": [{"path": "data/fetch"}], "outs": [{"path": "data/pad"}]}
    lock = {"stages": {"fetch": fetch, "pad": pad}}
    (folder / "dvc.lock").write_text(json.dumps(lock), encoding="utf-8")
    commit = project.read("git", "rev-parse", "HEAD").strip()
    needed = {"evaluate": {"threshold": 0.5}}
    return RecordedRun("0123", "lstm", {COMMIT: commit}, needed | params, folder)


def test_a_table_that_dvc_tracks_is_in_the_worktree(fresh: ProjectCopy, tmp_path: Path) -> None:
    table = fresh.path / "my table.csv"
    table.write_text("text,label\na fine film,positive\n", encoding="utf-8")
    fresh.run("dvc", "add", table.name)
    fresh.commit()
    table.unlink()
    run = recorded_run(fresh, tmp_path, table.name)
    with worktree(Project.here(), run, tmp_path / "worktree") as copy:
        assert "a fine film" in (copy.folder / table.name).read_text(encoding="utf-8")


def test_a_table_that_was_not_committed_is_named_before_a_training(
    fresh: ProjectCopy, tmp_path: Path
) -> None:
    fresh.change(fetch={"dataset": "table"})
    fresh.commit()
    table = fresh.path / "data" / "example.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",negative\n", ",neutral\n", 1))
    fresh.run(*names.REPRO, "fetch")
    run = recorded_run(fresh, tmp_path, "data/example.csv", fetch=read_fetch(fresh))
    with worktree(Project.here(), run, tmp_path / "worktree") as copy:
        shutil.copy(fresh.path / "dvc.lock", run.folder)
        with pytest.raises(UserError, match=r"these files differ .*: data/example\.csv\."):
            check_dependencies(run, copy)
    fresh.commit()
    committed = recorded_run(fresh, tmp_path, "data/example.csv", fetch=read_fetch(fresh))
    with worktree(Project.here(), committed, tmp_path / "worktree") as copy:
        shutil.copy(fresh.path / "dvc.lock", committed.folder)
        check_dependencies(committed, copy)


def read_fetch(project: ProjectCopy) -> dict[str, Any]:
    fetch: dict[str, Any] = read_yaml(project.path / "params.yaml")["fetch"]
    return fetch


@pytest.mark.usefixtures("project")
def test_a_run_that_lacks_something_says_what(sentiment: Command) -> None:
    (run,) = runs()
    client = MlflowClient()
    client.set_tag(run.info.run_id, "unrecorded", "data/own.csv (md5 0123)")
    assert "data/own.csv (md5 0123)" in sentiment.fail("reproduce", run.info.run_id)


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
    run = recorded_run(fresh, tmp_path, "params.yaml", lstm={"units": 9})
    with worktree(Project.here(), run, tmp_path / "worktree") as copy:
        text = copy.params_file.read_text(encoding="utf-8")
    assert "units: 9" in text
    assert "patience" not in text


def test_the_uncommitted_changes_of_a_run_are_in_the_worktree(
    fresh: ProjectCopy, tmp_path: Path
) -> None:
    (fresh.path / "stages" / "pad.py").write_text("changed = True\n", encoding="utf-8")
    (tmp_path / DIFF_ARTIFACT).write_text(fresh.read("git", "diff"), encoding="utf-8")
    fresh.run("git", "checkout", "--", "stages")
    run = recorded_run(fresh, tmp_path, "params.yaml")
    with worktree(Project.here(), run, tmp_path / "worktree") as copy:
        assert (copy.folder / "stages" / "pad.py").read_text() == "changed = True\n"


def test_a_commit_that_is_not_there_is_named(fresh: ProjectCopy, tmp_path: Path) -> None:
    run = recorded_run(fresh, tmp_path, "params.yaml")._replace(tags={COMMIT: "a" * 40})
    with (
        pytest.raises(UserError, match="does not have the commit a"),
        worktree(Project.here(), run, tmp_path / "worktree"),
    ):
        pass


def test_the_params_of_a_run_are_written(project: ProjectCopy, sentiment: Command) -> None:
    (run,) = runs()
    project.change(lstm={"units": 9}, evaluate={"threshold": 0.25})
    printed = sentiment("reproduce", "--params", run.info.run_id[:8])
    assert "lstm.units: 9 -> 4" in printed
    assert "evaluate.threshold: 0.25 -> 0.5" in printed
    assert "has these values already" in sentiment("reproduce", "--params")


def test_the_params_of_another_model_and_of_an_older_run_are_written(
    project: ProjectCopy, sentiment: Command
) -> None:
    (run,) = runs()
    client = MlflowClient()
    document = read_yaml(project.path / "params.yaml")
    section = {**document["custom"], "network": {"heads": 2}}
    del section["patience"]  # a param that was added after the run
    older = {"model": "own", "seed": 7, "vectors": document["vectors"], "own": section}
    run_id = client.create_run(run.info.experiment_id).info.run_id
    client.log_dict(run_id, {**older, "fetch": document["fetch"]}, "params.yaml")
    project.change(own={**document["custom"], "patience": 3})
    printed = sentiment("reproduce", "--params", run_id)
    assert "model: lstm -> own" in printed
    assert "own.network.heads: none -> 2" in printed
    assert "own.network.filters: 100 -> none" in printed
    assert "patience" not in printed


@pytest.mark.usefixtures("project")
def test_params_that_a_run_lacks_or_has_in_another_form_are_one_line(sentiment: Command) -> None:
    (run,) = runs()
    client = MlflowClient()
    run_id = client.create_run(run.info.experiment_id).info.run_id
    assert "has no params.yaml" in sentiment.fail("reproduce", "--params", run_id)
    client.log_dict(run_id, {"pad": {}, "train": {"units": 64}}, "params.yaml")
    assert "is of release 5 or earlier" in sentiment.fail("reproduce", "--params", run_id)


def test_a_run_without_the_lock_of_dvc_says_what_it_lacks(
    project: ProjectCopy, sentiment: Command
) -> None:
    assert Project.here().run_file.exists()
    printed = sentiment.fail("reproduce")
    assert "lacks what it takes to run it again: the artifact dvc.lock" in printed
    assert project.path.exists()
