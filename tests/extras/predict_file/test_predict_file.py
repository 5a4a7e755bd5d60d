"""`sentiment predict-file`: each row gets its prediction once, or an error, whatever is killed."""

import csv
import json
import os
import signal
import stat
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pandas as pd
import psutil
import pytest

from extras.predict_file import parts, workers
from extras.predict_file.parts import Part
from sentiment.errors import UserError
from stages.evaluate import text_lookup
from tests.conftest import Command, runs, use_store
from tests.project import MODEL, Project, wait_until
from workflow import files, versions

pytestmark = pytest.mark.slow
PART_ROWS = 64
ROWS = 200  # four parts
COMMAND = ("predict-file", "texts.csv", "out", "--text-column", "body", "--id-column", "review")
STOPS_AT_THIRD_PART = f"""
import signal
from pathlib import Path

import cli
from extras.predict_file import parts

def replace_or_wait(path, target, replace=Path.replace):
    if "part-000003" in str(target):
        signal.pause()
    return replace(path, target)

parts.PART_ROWS = {PART_ROWS}
Path.replace = replace_or_wait
cli.main()
"""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", PART_ROWS)


def write_table(path: Path, texts: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("review", "body"), *enumerate(texts)])


def write_test_set() -> None:
    """Write the texts of the test set in the working directory to texts.csv."""
    reviews = files.read_reviews(files.FETCH, "test")
    write_table(Path("texts.csv"), text_lookup(reviews)(range(len(reviews))))


@pytest.fixture(scope="module")
def predicted_once(finished_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Copy a finished project, and predict its test set, the rows of which are numbered."""
    copy = finished_once.copy(tmp_path_factory.mktemp("predicted") / "project")
    with pytest.MonkeyPatch.context() as patch:
        use_store(copy, patch)
        patch.setattr(parts, "PART_ROWS", PART_ROWS)
        write_test_set()
        Command()(*COMMAND)
    return copy


@pytest.fixture
def predicted(predicted_once: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project with predictions of its test set, and make it the working directory."""
    return use_store(predicted_once, monkeypatch)


def read_out(project: Project) -> pd.DataFrame:
    return pd.read_parquet(project.path / "out" / "parts")


def read_manifest(project: Project) -> Any:
    return json.loads((project.path / "out" / "manifest.json").read_bytes())


def test_predictions_are_those_of_the_evaluation_in_the_order_of_the_file(
    predicted: Project,
) -> None:
    table = read_out(predicted)
    probabilities = ["probability_negative", "probability_positive"]
    assert [*table] == ["row", "id", "label", *probabilities, "words", "unknown_words", "error"]
    assert table["row"].tolist() == [*range(1, ROWS + 1)]
    assert table["id"].tolist() == [str(number) for number in range(ROWS)]
    assert table["error"].isna().all()
    evaluated = versions.read_predictions(files.PREDICTIONS_FILE).sort_values("review")
    for name, evaluated_name in (
        ("probability_negative", "probability_negative"),
        ("probability_positive", "probability_positive"),
        ("label", "predicted"),
        ("words", "words"),
        ("unknown_words", "unknown_words"),
    ):
        np.testing.assert_array_equal(table[name], evaluated[evaluated_name])


def test_manifest_says_what_was_predicted(predicted: Project) -> None:
    manifest = read_manifest(predicted)
    assert manifest["file"] == "texts.csv"
    assert manifest["version"] == f"models:/{MODEL}/1"
    assert len(manifest["file_sha256"]) == 64
    assert [manifest[name] for name in ("rows", "errors")] == [ROWS, 0]


def test_folder_has_no_text_and_its_parts_are_private(predicted: Project) -> None:
    texts = pd.read_csv("texts.csv")["body"]
    contents = b"".join(predicted.contents("out").values())
    assert not [text for text in texts if text.encode() in contents]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path("out", "parts").iterdir()}
    assert modes == {0o600}


def test_call_is_a_run_of_operations(predicted: Project) -> None:
    (run,) = runs(f"{MODEL} operations")
    manifest = read_manifest(predicted)
    assert run.info.run_id == manifest["run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == manifest["version"]
    counts = {name: manifest[name] for name in ("rows", "errors")}
    assert run.data.metrics.pop("seconds") > 0
    assert run.data.metrics == counts
    assert run.inputs
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.name == "texts.csv"
    assert manifest["file_sha256"].startswith(used.dataset.digest)


def test_folder_of_another_file_or_column_is_refused(
    predicted: Project, sentiment: Command
) -> None:
    before = predicted.contents("out")
    write_table(Path("other.csv"), ["Another text."])
    message = sentiment.fail("predict-file", "other.csv", "out", "--text-column", "body")
    assert "out has predictions with another file_sha256, id_column. Name a new" in message
    assert predicted.contents("out") == before


def test_folder_of_others_is_refused_and_left(predicted: Project, sentiment: Command) -> None:
    """Whatever it has: a manifest.json, folders and hidden files."""
    Path("mine", "parts").mkdir(parents=True)
    for name in ("manifest.json", "inputs.json", ".lock", "parts/.part-000001.parquet"):
        Path("mine", name).write_text('{"mine": 1}', encoding="utf-8")
    before = predicted.contents("mine")
    message = sentiment.fail("predict-file", "texts.csv", "mine", "--text-column", "body")
    assert "mine exists, and it is no folder of this command. Name a new folder." in message
    assert predicted.contents("mine") == before


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("s3://bucket/x is a URL", ["texts.csv", "s3://bucket/x"]),
        ("https://host/x.csv is a URL", ["https://host/x.csv", "new"]),
        ("There is no file none.csv", ["none.csv", "new"]),
        (
            "open.csv, row 2: unexpected end of data; perhaps a quote",
            ["open.csv", "new"],
        ),
        ("Set MLFLOW_TRACKING_URI to an MLflow server", ["texts.csv", "new", "--scheduler", "x"]),
        (f"There is no version models:/{MODEL}/7", ["texts.csv", "new", "--model"]),
    ],
)
def test_refused_command_makes_no_folder_and_no_run(
    predicted: Project, sentiment: Command, message: str, arguments: list[str]
) -> None:
    Path("open.csv").write_text('body\nfine\n"open\n', encoding="utf-8")
    if arguments[-1] == "--model":
        arguments = [*arguments, f"models:/{MODEL}/7"]
    assert message in sentiment.fail("predict-file", *arguments, "--text-column", "body")
    assert not (predicted.path / "new").exists()
    assert len(runs(f"{MODEL} operations")) == 1


@pytest.mark.parametrize(("blank", "status"), [(1, 0), (2, 1)])
def test_more_than_one_percent_of_rows_without_a_prediction_is_a_failure(
    project: Project, sentiment: Command, blank: int, status: int
) -> None:
    write_table(Path("texts.csv"), [*["Fine."] * (100 - blank), *[" "] * blank])
    printed = sentiment(*COMMAND, status=status)
    assert ("which is more than 1%" in printed) == bool(status)
    table = read_out(project)
    assert table["label"].notna().tolist() == [True] * (100 - blank) + [False] * blank
    assert table["error"].dropna().unique().tolist() == ["There is no text"]
    assert table["id"].iloc[-1] == "99"
    assert read_manifest(project)["errors"] == blank
    assert runs(f"{MODEL} operations")[0].info.status == "FINISHED"


def test_killed_command_continues_after_its_finished_parts(
    project: Project, sentiment: Command
) -> None:
    write_test_set()
    folder = Path("out", "parts")
    process = project.start(sys.executable, "-c", STOPS_AT_THIRD_PART, *COMMAND)
    wait_until(lambda: [*folder.glob(".part-000003*")] or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = [folder / f"part-{number:06}.parquet" for number in (1, 2)]
    assert sorted(folder.glob("part-*")) == finished
    assert not Path("out", "manifest.json").exists()
    times = [path.stat().st_mtime_ns for path in finished]

    sentiment(*COMMAND)

    assert [path.stat().st_mtime_ns for path in finished] == times
    assert read_out(project)["row"].tolist() == [*range(1, ROWS + 1)]
    assert read_manifest(project)["rows"] == ROWS
    statuses = [run.info.status for run in runs(f"{MODEL} operations")]
    assert statuses == ["FINISHED", "KILLED"]


def predict_or_die(killed: Path, part: Part, model_uri: str, tracking_uri: str) -> tuple[int, Any]:
    """Kill the first worker that calls this. Otherwise predict."""
    try:
        killed.touch(exist_ok=False)
    except FileExistsError:
        return parts.predict_part(part, model_uri, tracking_uri)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_part_of_a_killed_worker_is_predicted_by_another(
    project: Project, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_test_set()
    killed = project.path / "killed"
    monkeypatch.setattr(workers, "predict_part", partial(predict_or_die, killed))
    sentiment(*COMMAND, "--workers", "2")
    assert killed.exists()
    evaluated = versions.read_predictions(files.PREDICTIONS_FILE).sort_values("review")
    column = "probability_positive"
    np.testing.assert_array_equal(read_out(project)[column], evaluated[column])


def test_workers_listen_on_the_loopback_and_refuse_foreign_clients() -> None:
    with workers.local_workers(1) as client:
        assert [*client.run(os.getenv, "TF_NUM_INTRAOP_THREADS").values()] == ["1"]
        own = psutil.Process()
        listening = {
            connection.laddr.ip
            for process in (own, *own.children(recursive=True))
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
        address = client.scheduler.addr.partition("://")[2]
        with pytest.raises(OSError, match="closed"):
            distributed.Client(f"tcp://{address}", timeout=1)


def test_scheduler_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 0.1)
    address = "tcp://127.0.0.1:1"
    with (
        pytest.raises(UserError, match=f"The Dask scheduler at {address} does not answer"),
        workers.scheduler_workers(address),
    ):
        pass
