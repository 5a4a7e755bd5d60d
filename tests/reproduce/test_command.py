"""`sentiment reproduce`: a run is run again in a clone, or its params are written."""

import re
import shutil
import signal
from pathlib import Path

import pytest

from sentiment.errors import UserError
from sentiment.project.provenance import COMMIT, uncommitted_changes
from sentiment.reproduce import clone
from sentiment.reproduce.record import RecordedRun
from sentiment.tracking.runs import DIFF_ARTIFACT
from tests.conftest import Command, copy_project, runs, use_store
from tests.contract import names
from tests.contract.conftest import Commands
from tests.small_project import ProjectCopy, wait_until

pytestmark = pytest.mark.slow
REPRODUCE = (*names.COMMAND, "reproduce")
EQUAL = "All compared results are the same, bit for bit."


def results(printed: str) -> dict[str, str]:
    """Return the state of each result in the table that was printed."""
    rows = re.findall(r"^  ((?:data|metrics)/\S+) +(.+)$", printed, re.MULTILINE)
    return dict(rows)


def contents(project: ProjectCopy) -> dict[str, bytes]:
    """Return the content of each file of a project but of git's and of Python's caches."""
    found = project.contents(".")
    caches = {".git", "__pycache__", "tmp"}
    return {name: found[name] for name in found if not caches & {*Path(name).parts}}


@pytest.mark.pipeline
def test_an_experiment_with_other_code_is_equal_by_data_of_a_remote_and_nothing_is_changed(
    experiments_once: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(experiments_once.project, tmp_path / "project")
    project.run("dvc", "remote", "add", "--default", "store", "../my remote")
    project.run("dvc", "push", "data/fetch")
    shutil.rmtree(project.path / ".dvc" / "cache")
    project.change(train={"units": 9})
    use_store(project, monkeypatch)
    (run,) = (run for run in runs() if run.data.params["train.units"] == "6")
    before = contents(project)
    assert "mlflow.db" in before
    printed = project.run(*REPRODUCE, run.info.run_id)
    assert results(printed) == {
        "data/fetch": "from DVC",
        "data/pad": "equal",
        "data/train": "equal",
        "metrics/history.csv": "equal",
        "metrics/train.json": "equal",
        "data/evaluate/predictions.csv": "equal",
    }
    assert printed.splitlines()[-1] == EQUAL
    assert contents(project) == before


@pytest.mark.pipeline
def test_a_project_in_a_subfolder_makes_its_data_again_from_the_tables_of_its_commit(
    pipeline_once: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(pipeline_once.project, tmp_path / "repository" / "team" / "project")
    shutil.move(project.path / ".git", tmp_path / "repository")
    texts = project.path / "texts"
    texts.mkdir()
    (texts / "more.csv").write_text("text,label\na fine film,positive\n", encoding="utf-8")
    (texts / ".DS_Store").touch()
    project.change(fetch={"dataset": "table", "added_texts": "texts"})
    project.commit()
    with (project.path / "stages" / "pad.py").open("a", encoding="utf-8") as code:
        code.write("# an uncommitted change\n")
    monkeypatch.chdir(project.path)
    diff = uncommitted_changes().diff
    (project.path / DIFF_ARTIFACT).write_text(f"{diff}\n", encoding="utf-8")
    project.run("dvc", "repro", "pad")
    shutil.rmtree(project.path / ".dvc" / "cache")
    commit = project.read("git", "rev-parse", "HEAD").strip()
    run = RecordedRun("0123", "default", {COMMIT: commit}, project.path)
    run_stage = clone.run_stage_in_clone
    stages = []

    def run_until_training(folder: Path, name: str) -> None:
        stages.append(name)
        if name == "train":
            raise UserError("the training")
        run_stage(folder, name)

    monkeypatch.setattr(clone, "run_stage_in_clone", run_until_training)
    copy = ProjectCopy(clone.make_clone(run, tmp_path / "clone"))
    with pytest.raises(UserError, match="the training"):
        clone.run_stages(run, copy.path)
    assert stages == ["fetch", "pad", "train"]
    for folder in (names.FETCH_FOLDER, names.PAD_FOLDER):
        assert copy.contents(str(folder)) == project.contents(str(folder))


@pytest.mark.pipeline
def test_a_signal_leaves_no_clone(pipeline: Commands, tmp_path: Path) -> None:
    reproduce = pipeline.project.start(*REPRODUCE, TMPDIR=str(tmp_path))
    wait_until(lambda: reproduce.poll() is not None or [*tmp_path.glob("*/clone/params.yaml")])
    reproduce.send_signal(signal.SIGTERM)
    printed, _ = reproduce.communicate()
    assert reproduce.returncode == 128 + signal.SIGTERM, printed
    assert not [*tmp_path.glob("*/clone")]


def test_the_params_of_the_results_are_restored(project: ProjectCopy, sentiment: Command) -> None:
    params = project.path / "params.yaml"
    before = params.read_text(encoding="utf-8")
    project.change(train={"units": 9}, pad={"max_length": 50})
    assert sentiment("reproduce", "--params").splitlines() == [
        "pad.max_length: 50 -> 40",
        "train.units: 9 -> 4",
    ]
    assert params.read_text(encoding="utf-8") == before
    (run,) = runs()
    printed = sentiment("reproduce", "--params", run.info.run_id)
    assert printed == "params.yaml has these values already.\n"


def test_results_that_no_run_has_are_refused(project: ProjectCopy, sentiment: Command) -> None:
    (project.path / "data" / "evaluate" / "metrics.json").unlink()
    assert "MLflow has no run with the results in data/." in sentiment.fail("reproduce")


@pytest.mark.usefixtures("finished")
def test_a_run_that_does_not_exist_is_named(sentiment: Command) -> None:
    assert "The store has no run 0123." in sentiment.fail("reproduce", "0123")
