"""`make monitor FILE=…`: each report is a run, and a day's step in one that lasts."""

import csv
import json
from pathlib import Path
from typing import Any

import mlflow
import pytest

from extras.monitor import __main__ as monitor
from sentiment.errors import UserError
from tests.conftest import own_copy, runs
from tests.own_texts import MODEL, write_texts
from tests.project import Project

FOREIGN = "=Arrived\rlate, the box was open and the charger does not work with my phone, item"


@pytest.fixture(autouse=True)
def project(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of one's own of a project that was trained on a table; it is the working directory."""
    return own_copy(own_texts, tmp_path, monkeypatch)


def write_foreign(count: int) -> str:
    with Path("foreign.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body",), *((f"{FOREIGN} {n}",) for n in range(count))])
    return "foreign.csv"


def report(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The status of the command, and what it reports as JSON."""
    found: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflow.commands.print_result", lambda document, *_: found.append(document))
        status = monitor.main.main([*arguments, "--json"], standalone_mode=False)
    return status, json.loads(json.dumps(found[0]))


def points(name: str) -> list[tuple[int, float]]:
    """Steps and values of a metric of the run that lasts."""
    (run,) = [run for run in runs() if "monitor.of" in run.data.tags]
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [(point.step, point.value) for point in history]


def test_each_report_is_a_run_and_the_first_one_is_the_step_of_its_day() -> None:
    write_texts(Path("other.csv"), seed=5, count=1200)
    status, found = report("--file", "other.csv")
    assert (status, found["status"], found["texts"]) == (0, "within limits", 1200)
    client = mlflow.MlflowClient()
    assert client.get_model_version(MODEL, "1").tags["monitor.status"] == "within limits"
    run = client.get_run(found["run_id"])
    assert (run.info.status, run.data.tags["monitor.status"]) == ("FINISHED", "within limits")
    pages = [file.path for file in client.list_artifacts(found["run_id"], "monitor")]
    assert pages == ["monitor/about.json", "monitor/report.html"]
    ((day, value),) = points("monitor/unknown")
    assert value == run.data.metrics["monitor/unknown"]

    status, found = report("--file", write_foreign(200))
    assert (status, found["status"]) == (3, "alarm")
    assert client.get_model_version(MODEL, "1").tags["monitor.status"] == "alarm"
    alarms = {row["quantity"] for row in found["effects"] if row["alarm"]}
    assert {"unknown", "word_use"} <= alarms
    assert found["moved"]
    assert client.get_run(found["run_id"]).data.metrics["monitor/alarm"] == 1
    assert points("monitor/unknown") == [(day, value)]
    page = Path(found["page"]).read_text(encoding="utf-8")
    assert "foreign.csv: alarm" in page
    assert "no method without labels" in page


def test_a_log_is_compared_with_and_without_texts_and_few_are_no_verdict() -> None:
    line = {"time": "2026-01-02T03:04:05+00:00", "version": f"models:/{MODEL}/1", "words": 90}
    line |= {"unknown": 0.9, "truncated": False, "probability": 0.5, "request_id": "a"}
    Path("log").mkdir()
    log = Path("log", "2026-01-02.jsonl")
    log.write_text(f"{json.dumps(line)}\n" * 99, encoding="utf-8")
    status, found = report("--file", "log")
    assert (status, found["status"], found["accuracy"]) == (0, "too few texts", None)
    assert points("monitor/texts") == [(20455, 99)]  # days from 1970 to that of the file
    log.write_text(f"{json.dumps(line)}\n" * 100, encoding="utf-8")
    status, found = report("--file", str(log))
    assert (status, found["texts"]) == (3, 100)
    assert "word_use" not in {row["quantity"] for row in found["effects"]}
    with pytest.raises(UserError, match="LOG_TEXTS=1"):
        report("--file", str(log), "--label", "5")
    log.write_text(f"{json.dumps(line | {'text': FOREIGN})}\n" * 100, encoding="utf-8")
    _, found = report("--file", str(log))
    assert "word_use" in {row["quantity"] for row in found["effects"]}
    log.write_text(json.dumps(line | {"version": "models:/other/1"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"none that models:/.*/1 answered"):
        report("--file", str(log))


def test_a_reader_is_told_of_the_page_and_how_to_label(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--file", write_foreign(120), "--label", "100"]
    assert monitor.main.main(arguments, standalone_mode=False) == 3
    printed = capsys.readouterr().out
    assert "foreign.csv, 120 texts for models:/" in printed
    assert "200 ± 0.069" in printed
    _, _, after = printed.partition("then: make evaluate FILE=")
    with Path(after.split()[0]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["body"] for row in rows}) == 100
    assert all(row["body"].startswith(" =Arrived\rlate, ") for row in rows)
    assert {row["stars"] for row in rows} == {""}


def test_a_model_without_a_profile_is_one_message(project: Project) -> None:
    for path in project.path.glob("mlruns/*/*/artifacts/versions/1/profile.json"):
        path.unlink()
    with pytest.raises(UserError, match=f"Version 1 of {MODEL} has no profile"):
        report("--file", write_foreign(100))
    assert [run for run in runs() if "monitor.status" in run.data.tags] == []
