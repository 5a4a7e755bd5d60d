"""`make compare` on real runs: every kind of side, the report in both runs, and refusals."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from extras.compare import __main__ as compare
from stages import evaluate, fetch, pad, train
from tests.conftest import Caller, runs, stand_in
from tests.project import Project
from tools import promote, sync
from workflow.runs.store import RESTORED

COMPARE = ("python", "-m", "extras.compare")
REPORT = {"comparison.json", "report.html"}


@pytest.fixture
def both(experiments: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `experiments` of one's own, which is the working directory."""
    project = experiments.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def ids() -> tuple[str, str]:
    """Ids of the run of the experiment `six`, and of the first run."""
    by_name = {run.data.tags.get("dvc.experiment"): run.info.run_id for run in runs()}
    return by_name["six"], by_name[None]


def compared(call: Caller, project: Project, a: str, b: str) -> dict[str, object]:
    """The document of a comparison, without what the sides are called."""
    call(compare.main, "--a", a, "--b", b)
    (folder,) = (project.path / "reports").iterdir()
    document: dict[str, object] = json.loads((folder / "comparison.json").read_bytes())
    shutil.rmtree(folder)
    for side in (document["a"], document["b"]):
        assert isinstance(side, dict)
        del side["label"]
    return document


def test_a_side_is_the_same_wherever_it_is_read_from(both: Project, call: Caller) -> None:
    six, first = ids()
    from_store = compared(call, both, first, six)
    assert from_store == compared(call, both, "workspace", six)


def test_the_report_is_in_both_runs_with_its_sentence(both: Project, call: Caller) -> None:
    six, first = ids()
    output = call(compare.main, "--a", six)
    folder = both.path / "reports" / f"compare-{six[:8]}-workspace"
    assert {path.name for path in folder.iterdir()} == REPORT
    sentence = json.loads((folder / "comparison.json").read_bytes())["sentence"]
    assert f"**{sentence}**" in output
    assert "| train.units | 6 | 4 |" in output
    client = mlflow.MlflowClient()
    for run_id, other in ((six, first), (first, six)):
        tag = client.get_run(run_id).data.tags[f"compare.{other[:8]}"]
        assert tag.startswith(sentence)
        assert f"run {six}; B = workspace" in tag
        logged = client.list_artifacts(run_id, f"compare/{other}")
        assert {Path(each.path).name for each in logged} == REPORT


def test_json_is_the_document_and_where_the_page_is(both: Project) -> None:
    printed = json.loads(both.read(*COMPARE, "--a", ids()[0], "--json"))
    page = both.path / printed.pop("report")
    assert page.is_file()
    assert printed == json.loads(page.with_name("comparison.json").read_bytes())


@pytest.mark.usefixtures("both")
def test_the_champion_is_the_first_side_unless_one_is_named(call: Caller) -> None:
    six, _ = ids()
    call(promote.main, "--run", six)
    name = mlflow.get_run(six).info.run_name
    assert f"A = champion: {name}, run {six}" in call(compare.main)


def test_tensorflow_is_not_imported(both: Project) -> None:
    code = (
        "import sys; from tools.comparing import report; "
        f"report.compare('{ids()[0]}', 'workspace'); "
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    assert both.run("python", "-c", code).endswith("set()\n")


@pytest.mark.usefixtures("both")
def test_the_same_run_is_refused(call: Caller) -> None:
    _, first = ids()
    message = call.fail(compare.main, "--a", first)
    assert message.startswith(f"{first[:8]} and workspace are the same run")


def test_other_test_data_are_refused_and_so_are_others_texts(both: Project, call: Caller) -> None:
    six, first = ids()
    both.change(fetch={"synthetic": {"seed": 1}})
    for stage in (fetch, pad, train, evaluate):
        call(stage.main)
    output = call.fail(compare.main, "--a", six)
    assert f"They were evaluated on other test reviews, {six[:8]} on synthetic (" in output
    output = call.fail(compare.main, "--a", first, "--b", six)
    assert f"data/fetch has other reviews than {first[:8]} was evaluated on" in output


@pytest.mark.parametrize("name", ["predictions.csv", "about.json"])
def test_a_tampered_artifact_is_one_message(both: Project, call: Caller, name: str) -> None:
    six, _ = ids()
    path = both.path / "mlruns" / "1" / six / "artifacts" / "evaluate" / name
    path.write_text(path.read_text(encoding="utf-8").replace("0", "1", 1), encoding="utf-8")
    output = call.fail(compare.main, "--a", six)
    assert f"Run {six}: " in output
    assert ("is not as the stage wrote it" in output) != (name == "about.json")


@pytest.mark.usefixtures("both")
def test_a_run_whose_training_is_incomplete_is_one_message(call: Caller) -> None:
    six, _ = ids()
    mlflow.MlflowClient().delete_tag(six, "outputs.train")
    output = call.fail(compare.main, "--a", six)
    assert f"Run {six}: its curves are incomplete. `make sync`" in output


def test_missing_files_are_one_message(both: Project, call: Caller) -> None:
    six, first = ids()
    shutil.rmtree(both.path / "mlruns" / "1" / six / "artifacts" / "evaluate")
    assert f"Run {six}: evaluate/about.json is missing" in call.fail(compare.main, "--a", six)
    (both.path / "data" / "evaluate" / "predictions.csv").unlink()
    output = call.fail(compare.main, "--a", first)
    assert "data/evaluate/predictions.csv is missing. `dvc repro` makes it." in output


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("name", ["HEAD~1", "six"])
def test_a_revision_or_an_experiment_is_told_how_to_name_its_run(name: str, call: Caller) -> None:
    output = call.fail(compare.main, "--a", name)
    assert output.startswith(f"{name} is not `workspace`, `champion` or a run's id")
    assert "git.commit and dvc.experiment" in output


@pytest.mark.usefixtures("both")
def test_a_run_that_is_not_in_the_store_is_one_message(call: Caller) -> None:
    assert f"The tracking store has no run {'0' * 32}" in call.fail(compare.main, "--a", "0" * 32)


@pytest.mark.usefixtures("both")
def test_a_run_that_the_store_lacks_is_reported(call: Caller) -> None:
    six, first = ids()
    mlflow.delete_run(first)
    output = call(compare.main, "--a", six)
    assert f"The report is not logged to run {first}: the tracking store does not have it" in output
    assert f"compare.{first[:8]}" in mlflow.get_run(six).data.tags


@pytest.mark.usefixtures("both")
def test_a_run_that_was_made_again_is_compared_under_its_new_id(call: Caller) -> None:
    six, first = ids()
    mlflow.delete_run(first)
    call(sync.main)
    (again,) = (run.info.run_id for run in runs() if run.data.tags.get(RESTORED) == first)
    output = call(compare.main, "--a", first, "--b", six)
    assert f"A = {first[:8]}: " in output
    assert f"run {again}" in output
    assert f"compare.{six[:8]}" in mlflow.get_run(again).data.tags


def test_the_page_escapes_what_it_shows(both: Project, call: Caller) -> None:
    six, _ = ids()
    mlflow.MlflowClient().set_tag(six, "mlflow.runName", "<script>alert(1)</script>")
    call(compare.main, "--a", six)
    folder = both.path / "reports" / f"compare-{six[:8]}-workspace"
    content = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in content
    assert "&lt;script" in content
