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

pytestmark = pytest.mark.slow
FOREIGN = "=Arrived\rlate; the box was open and the charger does not work with my phone, item"


@pytest.fixture
def project(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of a project that was trained on a table; it is the working directory."""
    return own_copy(own_texts, tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def client(project: Project) -> mlflow.MlflowClient:  # noqa: ARG001
    return mlflow.MlflowClient()


def write_foreign(count: int, name: str = "foreign.csv") -> str:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body",), *((f"{FOREIGN} {n}",) for n in range(count))])
    return name


def write_log(*lines: dict[str, Any]) -> str:
    """Write a day's log, and return its folder."""
    Path("log").mkdir(exist_ok=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    Path("log", "2026-01-02.jsonl").write_text(text, encoding="utf-8")
    return "log"


def log_line(**changes: Any) -> dict[str, Any]:
    return {
        "time": "2026-01-02T03:04:05+00:00",
        "version": f"models:/{MODEL}/1",
        "words": 90,
        "unknown": 0.9,
        "truncated": False,
        "probability": 0.5,
        "request_id": "a",
        **changes,
    }


def report(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit status and its report."""
    found: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflow.commands.print_result", lambda document, *_: found.append(document))
        status = monitor.main.main([*arguments, "--json"], standalone_mode=False)
    return status, json.loads(json.dumps(found[0], allow_nan=False))


def daily_points(client: mlflow.MlflowClient, name: str) -> list[tuple[int, float]]:
    """Return steps and values of a metric of the run that has a point per day."""
    (run,) = [run for run in runs() if "monitor.of" in run.data.tags]
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def test_report_is_a_run_and_a_tag_of_the_version(client: mlflow.MlflowClient) -> None:
    write_texts(Path("other.csv"), seed=5, count=1200)
    status, found = report("--file", "other.csv")
    assert (status, found["status"], found["texts"]) == (0, "within limits", 1200)
    assert client.get_model_version(MODEL, "1").tags["monitor.status"] == "within limits"
    run = client.get_run(found["run_id"])
    assert (run.info.status, run.data.tags["monitor.status"]) == ("FINISHED", "within limits")
    artifacts = [file.path for file in client.list_artifacts(found["run_id"], "monitor")]
    assert artifacts == ["monitor/about.json", "monitor/report.html"]
    page = Path(found["page"]).read_text(encoding="utf-8")
    assert "other.csv: within limits" in page
    assert page.count('<img class="plot"') == 2

    status, found = report("--file", write_foreign(200))
    assert (status, found["status"]) == (3, "alarm")
    assert client.get_model_version(MODEL, "1").tags["monitor.status"] == "alarm"
    assert client.get_run(found["run_id"]).data.metrics["monitor/alarm"] == 1
    alarms = {effect["quantity"] for effect in found["effects"] if effect["alarm"]}
    assert {"unknown", "word_use"} <= alarms
    assert found["changed_words"]


def test_first_report_of_a_day_is_its_point(client: mlflow.MlflowClient) -> None:
    _, first = report("--file", write_log(*[log_line()] * 120))
    day = 20455  # of the log, counted from 1970
    assert daily_points(client, "monitor/texts") == [(day, 120)]
    assert client.get_run(first["run_id"]).data.metrics["monitor/unknown"] == pytest.approx(0.9)
    report("--file", write_log(*[log_line()] * 150))
    assert daily_points(client, "monitor/texts") == [(day, 120)]


def test_words_are_compared_if_the_log_has_texts() -> None:
    _, found = report("--file", write_log(*[log_line(text=FOREIGN)] * 100))
    assert "word_use" in {effect["quantity"] for effect in found["effects"]}


def test_rows_that_cannot_be_read_are_an_alarm(client: mlflow.MlflowClient) -> None:
    write_texts(Path("other.csv"), seed=5, count=1200)
    with Path("other.csv").open("ab") as file:
        file.write("déçu,0\r\n".encode("latin-1") * 900)
    status, found = report("--file", "other.csv")
    assert (status, found["status"], found["texts"], found["rows"]) == (3, "alarm", 1200, 2100)
    unreadable, _ = found["left_out"]
    assert (unreadable["count"], unreadable["alarm"]) == (900, True)
    assert client.get_run(found["run_id"]).data.metrics["monitor/unreadable"] == 900
    assert "900" in Path(found["page"]).read_text(encoding="utf-8")
    assert [effect for effect in found["effects"] if effect["alarm"]] == []


def test_file_of_which_no_row_can_be_read_is_an_alarm(client: mlflow.MlflowClient) -> None:
    Path("other.csv").write_bytes(b"body,stars\r\n" + "déçu,0\r\n".encode("latin-1") * 900)
    status, found = report("--file", "other.csv")
    assert (status, found["status"], found["texts"], found["effects"]) == (3, "alarm", 0, [])
    assert client.get_run(found["run_id"]).data.metrics["monitor/unreadable"] == 900
    assert client.get_model_version(MODEL, "1").tags["monitor.status"] == "alarm"
    assert "other.csv: alarm" in Path(found["page"]).read_text(encoding="utf-8")


def test_predictions_of_other_versions_are_counted(client: mlflow.MlflowClient) -> None:
    other = log_line(version="models:/other/1")
    _, found = report("--file", write_log(*[log_line()] * 100, *[other] * 101))
    _, other_versions = found["left_out"]
    assert (other_versions["count"], other_versions["alarm"]) == (101, False)
    assert client.get_run(found["run_id"]).data.metrics["monitor/other_versions"] == 101


def test_log_without_a_prediction_of_the_version_is_one_message() -> None:
    with pytest.raises(UserError, match=r"of 1 rows or lines, 0 cannot be read and 1 are pred"):
        report("--file", write_log(log_line(version="models:/other/1")))


def test_reader_is_told_of_the_page_and_how_to_label(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--file", write_foreign(120), "--label-sample", "100"]
    assert monitor.main.main(arguments, standalone_mode=False) == 3
    printed = capsys.readouterr().out
    assert "foreign.csv, 120 texts for models:/" in printed
    _, _, after = printed.partition("then: make evaluate-file FILE=")
    path = Path(after.split()[0])
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["body"] for row in rows}) == 100
    assert all(row["body"].startswith(" =Arrived\rlate; ") for row in rows)
    assert {row["stars"] for row in rows} == {""}


def test_log_without_texts_has_none_to_label() -> None:
    with pytest.raises(UserError, match="LOG_TEXTS=1"):
        report("--file", write_log(*[log_line()] * 100), "--label-sample", "5")


def test_file_with_too_few_texts_to_label_is_one_message() -> None:
    with pytest.raises(
        UserError, match=r"has 10 texts to label, fewer than 20\. Lower LABEL_SAMPLE"
    ):
        report("--file", write_foreign(10), "--label-sample", "20")


def test_model_without_a_profile_is_one_message(project: Project) -> None:
    for path in project.path.glob("mlruns/*/*/artifacts/versions/1/profile.json"):
        path.unlink()
    with pytest.raises(UserError, match=f"Version 1 of {MODEL} has no profile"):
        report("--file", write_foreign(100))
    assert [run for run in runs() if "monitor.status" in run.data.tags] == []


def test_profile_of_an_earlier_release_is_one_message(project: Project) -> None:
    for path in project.path.glob("mlruns/*/*/artifacts/versions/1/profile.json"):
        path.write_text('{"texts": {"train": 1, "test": 1}}', encoding="utf-8")
    with pytest.raises(UserError, match=f"models:/{MODEL}/1 was made by an earlier release"):
        report("--file", write_foreign(100))
