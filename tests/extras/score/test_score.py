"""`make score FILE=… OUT=…`: every text of a file gets the answer of `make predict`, once."""

import csv
import errno
import gzip
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import mlflow
import pandas as pd
import psutil
import pyarrow
import pytest
from pyarrow import parquet

from extras.common import texts
from extras.score import __main__ as score
from extras.score import parts, score_run
from sentiment.tokenizer import UNICODE, encode
from tests.conftest import Caller, own_copy, runs, stand_in
from tests.own_texts import MODEL, write_texts
from tests.project import Project, until
from tests.services import dask, kill, mlflow_server, web
from workflow import files, tracking
from workflow.registry import champion

COUNT, ROWS = 240, 100  # texts, and of them in a part


@pytest.fixture
def project(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of one's own of a project with a champion, beside 240 texts in `texts.csv`."""
    copied = own_copy(own_texts, tmp_path, monkeypatch)
    write_texts(copied.path / "texts.csv", seed=7, count=COUNT - 1)
    with (copied.path / "texts.csv").open("a") as file:
        file.write("Parfait unheard of,1\n")
    monkeypatch.setattr(parts, "ROWS", ROWS)
    return copied


def texts_of(project: Project) -> list[str]:
    with (project.path / "texts.csv").open(encoding="utf-8", newline="") as file:
        return [text for text, _ in [*csv.reader(file)][1:]]


def answers(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / parts.PARTS)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def scored(call: Caller, *arguments: str, file: str = "texts.csv", out: str = "out") -> Any:
    """The manifest that the command prints."""
    command = ("--file", file, "--out", out, "--text", "body", "--json", *arguments)
    return json.loads(call(score.main, *command).splitlines()[-1])


def test_each_text_has_the_answer_of_predict_in_its_order_and_no_text_is_written(
    project: Project, call: Caller
) -> None:
    manifest = scored(call, "--id", "stars")
    texts, table = texts_of(project), answers(project.path / "out")
    model = champion.load_model(f"models:/{MODEL}@champion")
    expected = model.predict(None, pd.DataFrame({"text": texts}))
    pd.testing.assert_frame_equal(table[["label", "probability"]], expected, check_dtype=False)
    assert table["row"].tolist() == [*range(1, COUNT + 1)]
    assert set(table["id"]) == {"0", "1"}
    encoded = [encode(text, model.word_index, UNICODE) for text in texts]
    assert table["words"].tolist() == [text.word_count for text in encoded]
    assert table["unknown"].tolist() == [model.limits.count_unknown(text) for text in encoded]
    assert table["unknown"].iloc[-1] == 2
    assert table["error"].isna().all()
    assert [*table] == ["row", "id", "label", "probability", "words", "unknown", "error"]
    names = ["part-000001.parquet", "part-000002.parquet", "part-000003.parquet"]
    assert manifest["parts"] == names == names_in(project.path / "out" / parts.PARTS)
    assert names_in(project.path / "out") == [".lock", "manifest.json", parts.PARTS]
    assert files.read_json(project.path / "out" / "manifest.json") == manifest
    counts = {"rows": COUNT, "errors": 0, "positive": (expected["label"] == "positive").sum()}
    assert counts.items() <= manifest.items()

    version, run = champion.champion_version(), mlflow.get_run(manifest["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["score.file_sha256"] == files.sha256(project.path / "texts.csv")
    assert run.data.params["score.model"] == f"models:/{MODEL}/{version.version}"
    assert run.data.metrics.pop("score_seconds") > 0
    assert run.data.metrics == {f"score_{name}": count for name, count in counts.items()}
    assert run.inputs
    assert [used.model_id for used in run.inputs.model_inputs] == [tracking.model_id_of(version)]
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["texts.csv"]


def test_each_kind_of_file_has_the_same_answers_also_compressed_and_at_an_address(
    project: Project, call: Caller
) -> None:
    content, folder = texts_of(project), project.path / "web"
    folder.mkdir()
    lines = "\n".join(json.dumps({"body": text}) for text in content)
    (folder / "texts.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    parquet.write_table(pyarrow.table({"body": content}), folder / "texts.parquet")
    with (folder / "texts.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, csv.excel_tab).writerows([("body",), *((text,) for text in content)])
    scored(call)
    expected = answers(project.path / "out")
    with web(folder) as address:
        signed = f"{address}/texts.jsonl.gz?X-Amz-Signature=planted"
        for out, name in (("gz", signed), ("pq", "web/texts.parquet"), ("tsv", "web/texts.tsv")):
            manifest = scored(call, file=name, out=out)
            pd.testing.assert_frame_equal(answers(Path(out)), expected)
            assert manifest["file"] == Path(name).name.partition("?")[0]


def test_rows_without_an_answer_say_why_and_too_many_of_them_end_with_status_1(
    project: Project, call: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("body", "nr"), *((f"parfait {n}", n) for n in range(98)), ("",), ("voilà", 99)]
    with (project.path / "bad.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    manifest = scored(call, file="bad.csv")
    assert (manifest["rows"], manifest["errors"]) == (100, 1)
    table = answers(project.path / "out")
    assert table["error"].dropna().to_dict() == {98: table["error"][98]}
    assert table["error"][98].startswith("it has 1 fields, the header 2")
    assert table.loc[98, ["label", "probability", "words", "unknown"]].isna().all()
    command = ["--file", "bad.csv", "--out", "out", "--text", "body", "--most-errors", "0.009"]
    assert score.main.main(command, standalone_mode=False) == 1
    assert "More than 0.90% of the rows have no answer" in capsys.readouterr().err


def test_finished_parts_are_kept_and_answers_to_something_else_are_refused(
    project: Project, call: Caller
) -> None:
    first, folder = scored(call), project.path / "out" / parts.PARTS
    table = answers(project.path / "out")
    (folder / "part-000002.parquet").unlink()
    (folder / "part-000003.parquet").write_bytes(b"PAR1")
    times = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    assert scored(call) | {"run_id": first["run_id"]} == first
    pd.testing.assert_frame_equal(answers(project.path / "out"), table)
    assert (folder / "part-000001.parquet").stat().st_mtime_ns == times[0]
    assert len(runs()) == 3  # the training's, and one for each call

    command = ("--out", "out", "--text", "body")
    write_texts(project.path / "other.csv", seed=8)
    (project.path / "empty.csv").write_text("body,stars\n", encoding="utf-8")
    for file in ("other.csv", "empty.csv"):
        message = call.fail(score.main, "--file", file, *command)
        assert "has answers with another file_sha256" in message
    message = call.fail(score.main, "--file", "texts.csv", "--id", "body", *command)
    assert "out has answers with another id: name another folder in OUT, or remove it" in message
    pd.testing.assert_frame_equal(answers(project.path / "out"), table)


@pytest.mark.usefixtures("project")
def test_threads_take_turns_at_the_model(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, inside, pool = texts.answers, Lock(), ThreadPoolExecutor()

    def alone(*arguments: Any) -> pd.DataFrame:
        assert inside.acquire(blocking=False)
        table = answer(*arguments)
        inside.release()
        return table

    monkeypatch.setattr(texts, "answers", alone)
    monkeypatch.setattr(
        score_run, "outcomes", lambda job, todo, _: pool.map(partial(parts.score, job), todo)
    )
    assert scored(call)["rows"] == COUNT


def test_what_cannot_be_scored_is_one_message_and_leaves_no_text(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "open.csv").write_text('body\nfine\n"open\n', encoding="utf-8")
    command = ("--out", "out", "--text", "body", "--file")
    for message, *arguments in (
        ("open.csv cannot be read after row 1 (line 2): unexpected end of data", "open.csv"),
        ("There is no file none.csv", "none.csv"),
        ("has no column 'body' (TEXT): 'text'", "data/example.csv"),
        ("name a server in MLFLOW_TRACKING_URI", "texts.csv", "--scheduler", "tcp://127.0.0.1:1"),
        (
            f"There is no model version models:/{MODEL}/7",
            "texts.csv",
            "--model",
            f"models:/{MODEL}/7",
        ),
    ):
        assert message in call.fail(score.main, *command, *arguments)
    read = parts.copy

    def change(*arguments: Any) -> None:
        read(*arguments)
        with (project.path / "texts.csv").open("a") as file:
            file.write("another\n")

    monkeypatch.setattr(parts, "copy", change)
    assert "texts.csv changed while it was read" in call.fail(score.main, *command, "texts.csv")
    assert not [path for path in (project.path / "out").rglob("*") if path.suffix == ".parquet"]
    assert len(runs()) == 1


def test_a_full_disk_is_one_message_and_the_finished_parts_stay(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = parquet.write_table

    def fill(table: pyarrow.Table, path: Path) -> None:
        if "part-000002" in path.name:
            path.write_bytes(b"PAR1")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(table, path)

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "write_table", fill)
        message = call.fail(score.main, "--file", "texts.csv", "--out", "out", "--text", "body")
    assert "No space left on device" in message
    assert names_in(project.path / "out" / parts.PARTS) == ["part-000001.parquet"]
    assert scored(call)["rows"] == COUNT
    assert [run.info.status for run in runs()] == ["FINISHED", "FAILED", "FINISHED"]


def finished(folder: Path) -> int:
    """How many parts are there."""
    return len([*folder.glob(f"{parts.PARTS}/part-*.parquet")])


def test_a_worker_the_command_and_a_scheduler_may_be_killed(
    project: Project, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100,000 texts are ten parts; the workers of the scheduler are in clones."""
    write_texts(project.path / "long.csv", seed=3, count=100_000)
    command = ("python", "-m", "extras.score", "--file", "long.csv", "--text", "body", "--out")
    monkeypatch.undo()
    stand_in(project.path, monkeypatch)
    scored(call, file="long.csv", out="whole")
    here, out = (*command, "out", "--workers", "2"), project.path / "out"
    process = project.start(*here)
    until(lambda: finished(out))
    children = psutil.Process(process.pid).children(recursive=True)
    next(child for child in children if "spawn_main" in " ".join(child.cmdline())).kill()
    until(lambda: finished(out) > 1)
    process.kill()
    process.communicate()
    shutil.copy2(project.path / "mlflow.db", tmp_path / "served.db")
    with (
        mlflow_server(tmp_path) as server,
        dask(tmp_path, project.path, workers=2) as cluster,
    ):
        until(lambda: cluster.output.read_text().count("Registered to") == 2)
        elsewhere, done = (*command, str(out), "--scheduler", cluster.address), finished(out)
        process = project.start(*elsewhere, MLFLOW_TRACKING_URI=server)
        until(lambda: finished(out) > done)
        kill(cluster.workers[0])
        until(lambda: finished(out) > done + 1)
        kill(cluster.scheduler)
        printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "The Dask scheduler does not answer any more" in printed
    scored(call, file="long.csv")
    pd.testing.assert_frame_equal(answers(out), answers(project.path / "whole"))
    assert len(answers(out)) == 100_000
    assert not [*out.glob(".texts*"), *out.glob(f"{parts.PARTS}/.*")]
