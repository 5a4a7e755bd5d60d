"""`make compare` on real runs: every kind of side, the report in both runs, and refusals."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from extras.compare import __main__ as compare
from stages import evaluate, fetch, pad, train
from tests.conftest import Caller, runs, stand_in
from tests.project import Project
from tools import promote, sync
from workflow.runs.store import RESTORED


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


def without_labels(document: dict[str, Any]) -> dict[str, Any]:
    """The document of a comparison, without what the sides are called."""
    for side in ("a", "b"):
        del document[side]["label"]
    return document


def test_the_champion_is_compared_with_the_workspace_and_both_runs_have_the_report(
    both: Project, call: Caller
) -> None:
    six, first = ids()
    client = mlflow.MlflowClient()
    client.set_tag(six, "mlflow.runName", "<script>alert(1)</script>")
    call(promote.main, "--run", six)
    printed = json.loads(both.read("python", "-m", "extras.compare", "--json"))
    page = both.path / printed.pop("report")
    assert page == both.path / "reports/compare-champion-workspace/report.html"
    assert printed == json.loads(page.with_name("comparison.json").read_bytes())
    assert printed["changes"] == [{"param": "train.units", "a": "6", "b": "4"}]
    for tables in (printed["reliability"], printed["curves"], printed["gradients"]):
        assert [len(tables[letter]) for letter in ("a", "b")] == [1, 1]
    assert printed["curves"]["b"][0] == pd.read_csv("data/train/history.csv").to_dict("records")
    low, high = printed["result"]["interval"]
    assert low <= printed["result"]["difference"] <= high
    content = page.read_text(encoding="utf-8")
    assert "<script>alert" not in content
    assert "&lt;script" in content
    for run_id, other in ((six, first), (first, six)):
        tag = client.get_run(run_id).data.tags[f"compare.{other[:8]}"]
        assert tag.startswith(printed["sentence"])
        assert f"run {six}; B = workspace" in tag
        logged = client.list_artifacts(run_id, f"compare/{other}")
        assert {Path(file.path).name for file in logged} == {"comparison.json", "report.html"}

    # a side is the same wherever it is read from
    output = call(compare.main, "--a", six, "--b", first)
    assert f"**{printed['sentence']}**" in output
    assert "| train.units | 6 | 4 |" in output
    folder = both.path / "reports" / f"compare-{six[:8]}-{first[:8]}"
    document = json.loads((folder / "comparison.json").read_bytes())
    assert without_labels(document) == without_labels(printed)


def test_neither_a_comparison_nor_a_report_imports_tensorflow(both: Project) -> None:
    code = (
        "import sys; from extras.compare import compare_page, report; "
        f"compare_page.compare('{ids()[0]}', 'workspace'); report.make(); "
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    assert both.run("python", "-c", code).endswith("set()\n")


def test_other_test_data_are_refused_and_so_are_others_texts(both: Project, call: Caller) -> None:
    six, first = ids()
    both.change(fetch={"synthetic": {"seed": 1}}, train={"epochs": 1})
    for stage in (fetch, pad, train, evaluate):
        call(stage.main)
    output = call.fail(compare.main, "--a", six)
    assert f"They were evaluated on other test reviews, {six[:8]} on synthetic (" in output
    output = call.fail(compare.main, "--a", first, "--b", six)
    assert f"data/fetch has other reviews than {first[:8]} was evaluated on" in output


def test_what_is_missing_or_was_changed_is_one_message(both: Project, call: Caller) -> None:
    six, first = ids()
    client = mlflow.MlflowClient()
    tag = client.get_run(six).data.tags["outputs.train"]
    client.delete_tag(six, "outputs.train")
    incomplete = f"Run {six} is incomplete. `make sync`"
    message = call.fail(compare.main, "--a", six)
    assert incomplete in message
    assert "--single-item" in message  # else DVC would fetch again
    client.set_tag(six, "outputs.train", tag)

    folder = both.path / "mlruns" / "1" / six / "artifacts" / "evaluate"
    for name, message in (
        ("predictions.csv", f"Run {six}: evaluate/predictions.csv is not as the stage wrote it"),
        ("about.json", incomplete),
    ):
        content = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(content.replace("0", "1", 1), encoding="utf-8")
        assert message in call.fail(compare.main, "--a", six)
        (folder / name).write_text(content, encoding="utf-8")

    shutil.rmtree(folder)
    assert f"Run {six}: evaluate/about.json is missing" in call.fail(compare.main, "--a", six)
    (both.path / "data" / "evaluate" / "predictions.csv").unlink()
    output = call.fail(compare.main, "--a", first)
    assert "data/evaluate/predictions.csv is missing. `dvc repro` makes it." in output

    # and so is a name of no run
    assert f"The tracking store has no run {'0' * 32}" in call.fail(compare.main, "--a", "0" * 32)
    output = call.fail(compare.main, "--a", "HEAD~1")
    assert output.startswith("HEAD~1 is not `workspace`, `champion` or a run's id")
    assert "git.commit and dvc.experiment" in output


@pytest.mark.usefixtures("both")
def test_a_run_that_was_lost_is_reported_and_made_again_compared_under_its_new_id(
    call: Caller,
) -> None:
    six, first = ids()
    mlflow.delete_run(first)
    output = call(compare.main, "--a", six)
    assert f"The report is not logged to run {first}: the tracking store does not have it" in output
    assert f"compare.{first[:8]}" in mlflow.get_run(six).data.tags
    call(sync.main)
    (again,) = (run.info.run_id for run in runs() if run.data.tags.get(RESTORED) == first)
    output = call(compare.main, "--a", first, "--b", six)
    assert f"A = {first[:8]}: " in output
    assert f"run {again}" in output
    assert f"compare.{six[:8]}" in mlflow.get_run(again).data.tags
