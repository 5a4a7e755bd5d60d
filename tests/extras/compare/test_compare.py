"""`make compare` compares runs, logs the report to both of them, and refuses damaged files."""

import shutil
from pathlib import Path

import mlflow
import pytest

from extras.compare import __main__ as compare
from stages import fetch
from tests.conftest import Caller, own_copy, runs
from tests.project import Project
from tools import promote, sync
from workflow import files

pytestmark = pytest.mark.slow


@pytest.fixture
def both(two_runs: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `two_runs`, which is the working directory."""
    return own_copy(two_runs, tmp_path, monkeypatch)


def ids() -> list[str]:
    """Return the ids of the first run, and of the run of `data/`."""
    return [run.info.run_id for run in reversed(runs())]


def test_champion_is_compared_with_the_workspace_and_both_runs_have_the_report(
    both: Project, call: Caller
) -> None:
    first, six = ids()
    client = mlflow.MlflowClient()
    client.set_tag(first, "mlflow.runName", "<script>alert(1)</script>")
    call(promote.main, "--run", first)
    printed = call.json(compare.main)
    page = both.path / printed.pop("report")
    assert page == both.path / "reports/compare-champion-workspace/report.html"
    assert printed == files.read_json(page.with_name("comparison.json"))
    assert {change["param"]: (change["a"], change["b"]) for change in printed["changes"]} == {
        "train.units": ("4", "6"),
        "train.epochs": ("2", "3"),
    }
    assert [len(printed["reliability"][letter]) for letter in ("a", "b")] == [1, 1]
    low, high = printed["result"]["interval"]
    assert low <= printed["result"]["difference"] <= high
    content = page.read_text(encoding="utf-8")
    assert "<script>alert" not in content
    assert "&lt;script" in content
    for run_id, other in ((six, first), (first, six)):
        tag = client.get_run(run_id).data.tags[f"compare.{other[:8]}"]
        assert tag.startswith(printed["sentence"])
        logged = client.list_artifacts(run_id, f"compare/{other}")
        assert {Path(file.path).name for file in logged} == {"comparison.json", "report.html"}

    # The result does not depend on where a run is read from.
    output = call(compare.main, "--a", first, "--b", six)
    assert f"**{printed['sentence']}**" in output
    assert "| train.units | 4 | 6 |" in output
    again = files.read_json(Path(f"reports/compare-{first[:8]}-{six[:8]}/comparison.json"))
    for document, side in ((document, side) for document in (again, printed) for side in "ab"):
        del document[side]["label"]
    assert again == printed


def test_missing_or_changed_file_is_reported(both: Project, call: Caller) -> None:
    first, six = ids()
    client = mlflow.MlflowClient()
    tag = client.get_run(first).data.tags["outputs.evaluate"]
    client.delete_tag(first, "outputs.evaluate")
    incomplete = f"Run {first} is incomplete. Run `make sync`"
    assert incomplete in call.fail(compare.main, "--a", first)
    client.set_tag(first, "outputs.evaluate", tag)

    folder = both.path / "mlruns" / "1" / first / "artifacts" / "evaluate"
    for name, message in (
        (
            "predictions.csv",
            f"Run {first}: evaluate/predictions.csv differs from what the stage wrote",
        ),
        ("about.json", incomplete),
    ):
        content = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(content.replace("0", "1", 1), encoding="utf-8")
        assert message in call.fail(compare.main, "--a", first)
        (folder / name).write_text(content, encoding="utf-8")

    both.change(fetch={"synthetic": {"seed": 1}})
    call(fetch.main)
    output = call.fail(compare.main, "--a", first, "--b", six)
    assert f"data/fetch has other reviews than {first[:8]} was evaluated on" in output

    shutil.rmtree(folder)
    assert f"Run {first}: evaluate/about.json is missing" in call.fail(compare.main, "--a", first)
    (both.path / "data" / "evaluate" / "predictions.csv").unlink()
    output = call.fail(compare.main, "--a", six)
    assert "data/evaluate/predictions.csv is missing. `dvc repro` makes it." in output

    assert f"The tracking store has no run {'0' * 32}" in call.fail(compare.main, "--a", "0" * 32)
    output = call.fail(compare.main, "--a", "HEAD~1")
    assert output.startswith("HEAD~1 is not the id of a run. Use an id that `make ui` shows")


@pytest.mark.usefixtures("both")
def test_lost_run_is_reported_and_compared_after_make_sync(
    call: Caller,
) -> None:
    first, six = ids()
    mlflow.delete_run(six)
    assert "does not have the run of data/train" in call.fail(compare.main, "--a", first)
    assert f"The tracking store has no run {six}" in call.fail(compare.main, "--a", six)
    call(sync.main)
    (again,) = {run.info.run_id for run in runs()} - {first}
    assert f"run {again}" in call(compare.main, "--a", first)
    assert f"compare.{again[:8]}" in mlflow.get_run(first).data.tags
