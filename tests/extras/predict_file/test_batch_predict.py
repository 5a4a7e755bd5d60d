"""`make batch-predict`: every row gets the prediction of `make predict` once, or an error."""

import csv
import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import mlflow
import pandas as pd
import psutil
import pyarrow
import pytest
from pyarrow import parquet

from extras.batch_predict import __main__ as batch_predict
from extras.batch_predict import parts, run
from sentiment.tokenizer import UNICODE, encode
from tests.conftest import Caller, own_copy, runs, stand_in
from tests.own_texts import MODEL, write_texts
from tests.project import Project, wait_until
from tests.services import web
from workflow import files, tracking
from workflow.registry import champion, packaging

pytestmark = pytest.mark.slow
COUNT = 240  # texts
PART_ROWS = 100


@pytest.fixture
def project(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of a project with a champion, with `COUNT` texts in `texts.csv`."""
    copied = own_copy(own_texts, tmp_path, monkeypatch)
    write_texts(copied.path / "texts.csv", seed=7, count=COUNT - 1)
    with (copied.path / "texts.csv").open("a") as file:
        file.write("Parfait unheard of,1\n")
    monkeypatch.setattr(parts, "PART_ROWS", PART_ROWS)
    return copied


def texts_of(project: Project) -> list[str]:
    with (project.path / "texts.csv").open(encoding="utf-8", newline="") as file:
        return [text for text, _ in [*csv.reader(file)][1:]]


def predictions(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / parts.PARTS)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def predict(call: Caller, *arguments: str, file: str = "texts.csv", out: str = "out") -> Any:
    """Return the manifest that the command prints."""
    command = ("--file", file, "--out", out, "--text-column", "body", "--json", *arguments)
    return json.loads(call(batch_predict.main, *command).splitlines()[-1])


def test_each_text_has_its_prediction_in_the_order_of_the_file(
    project: Project, call: Caller
) -> None:
    predict(call, "--id-column", "stars")
    contents = texts_of(project)
    table = predictions(project.path / "out")
    model = packaging.load_model(f"models:/{MODEL}@champion")
    expected = model.predict(None, pd.DataFrame({"text": contents}))
    pd.testing.assert_frame_equal(table[["label", "probability"]], expected, check_dtype=False)
    assert table["row"].tolist() == [*range(1, COUNT + 1)]
    assert set(table["id"]) == {"0", "1"}
    encoded = [encode(text, model.word_index, UNICODE) for text in contents]
    assert table["words"].tolist() == [text.word_count for text in encoded]
    assert table["unknown"].tolist() == [model.limits.count_unknown(text) for text in encoded]
    assert table["unknown"].iloc[-1] == 2
    assert table["error"].isna().all()
    assert [*table] == ["row", "id", "label", "probability", "words", "unknown", "error"]


def test_folder_has_the_parts_and_a_manifest(project: Project, call: Caller) -> None:
    manifest = predict(call)
    names = ["part-000001.parquet", "part-000002.parquet", "part-000003.parquet"]
    assert manifest["parts"] == names == names_in(project.path / "out" / parts.PARTS)
    assert names_in(project.path / "out") == [".lock", "manifest.json", parts.PARTS]
    assert files.read_json(project.path / "out" / "manifest.json") == manifest
    positive = (predictions(project.path / "out")["label"] == "positive").sum()
    assert (manifest["rows"], manifest["errors"], manifest["positive"]) == (COUNT, 0, positive)


def test_each_call_is_a_run_that_is_linked_to_the_version(project: Project, call: Caller) -> None:
    manifest = predict(call)
    version = champion.champion_version()
    run = mlflow.get_run(manifest["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["batch_predict.file_sha256"] == files.sha256(project.path / "texts.csv")
    assert run.data.params["batch_predict.model"] == f"models:/{MODEL}/{version.version}"
    assert run.data.metrics.pop("batch_predict.seconds") > 0
    assert run.data.metrics == {
        "batch_predict.rows": COUNT,
        "batch_predict.errors": 0,
        "batch_predict.positive": manifest["positive"],
    }
    assert run.inputs
    assert [used.model_id for used in run.inputs.model_inputs] == [tracking.model_id_of(version)]
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["texts.csv"]


def test_each_kind_of_file_has_the_same_predictions_also_compressed_and_at_a_url(
    project: Project, call: Caller
) -> None:
    content = texts_of(project)
    folder = project.path / "web"
    folder.mkdir()
    lines = "\n".join(json.dumps({"body": text}) for text in content)
    (folder / "texts.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    parquet.write_table(pyarrow.table({"body": content}), folder / "texts.parquet")
    with (folder / "texts.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, csv.excel_tab).writerows([("body",), *((text,) for text in content)])
    predict(call)
    expected = predictions(project.path / "out")
    with web(folder) as url:
        signed = f"{url}/texts.jsonl.gz?X-Amz-Signature=planted"
        for out, name in (("gz", signed), ("pq", "web/texts.parquet"), ("tsv", "web/texts.tsv")):
            manifest = predict(call, file=name, out=out)
            pd.testing.assert_frame_equal(predictions(Path(out)), expected)
            assert manifest["file"] == Path(name).name.partition("?")[0]


def write_with_invalid_row(project: Project) -> None:
    """Write 100 rows into `bad.csv`, of which row 99 has no text."""
    rows = [("body", "nr"), *((f"parfait {n}", n) for n in range(98)), (" ", 98), ("voilà", 99)]
    with (project.path / "bad.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def test_row_without_a_text_has_its_id_and_the_reason(project: Project, call: Caller) -> None:
    write_with_invalid_row(project)
    manifest = predict(call, "--id-column", "nr", file="bad.csv")
    assert (manifest["rows"], manifest["errors"]) == (100, 1)
    table = predictions(project.path / "out")
    assert table["error"].dropna().to_dict() == {98: "column 'body': There is no text"}
    assert table["id"].tolist() == [str(number) for number in range(100)]
    assert table.loc[98, ["label", "probability", "words", "unknown"]].isna().all()


def test_too_many_rows_without_a_prediction_end_with_status_1(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    write_with_invalid_row(project)
    command = ["--file", "bad.csv", "--out", "out", "--text-column", "body", "--max-error-rate"]
    assert batch_predict.main.main([*command, "0.01"], standalone_mode=False) == 0
    assert batch_predict.main.main([*command, "0.009"], standalone_mode=False) == 1
    assert "More than 0.90% of the rows have no prediction" in capsys.readouterr().err


def test_error_rate_is_a_number(call: Caller) -> None:
    message = call.fail(batch_predict.main, FILE="a.csv", OUT="out", MAX_ERROR_RATE="nan")
    assert "nan is not a share" in message


def test_finished_parts_are_kept_and_others_predicted_again(project: Project, call: Caller) -> None:
    first = predict(call)
    folder = project.path / "out" / parts.PARTS
    table = predictions(project.path / "out")
    (folder / "part-000002.parquet").unlink()
    (folder / "part-000003.parquet").write_bytes(b"PAR1")
    time = (folder / "part-000001.parquet").stat().st_mtime_ns
    assert predict(call) | {"run_id": first["run_id"]} == first
    pd.testing.assert_frame_equal(predictions(project.path / "out"), table)
    assert (folder / "part-000001.parquet").stat().st_mtime_ns == time
    assert len(runs()) == 3  # the training's, and one for each call


def test_folder_with_predictions_of_something_else_is_refused(
    project: Project, call: Caller
) -> None:
    predict(call)
    table = predictions(project.path / "out")
    command = ("--out", "out", "--text-column", "body")
    write_texts(project.path / "other.csv", seed=8)
    (project.path / "empty.csv").write_text("body,stars\n", encoding="utf-8")
    for file in ("other.csv", "empty.csv"):
        message = call.fail(batch_predict.main, "--file", file, *command)
        assert "has predictions with another file_sha256" in message
    message = call.fail(batch_predict.main, "--file", "texts.csv", "--id-column", "body", *command)
    assert "out has predictions with another id_column. Name another folder in OUT" in message
    pd.testing.assert_frame_equal(predictions(project.path / "out"), table)


def test_foreign_part_is_refused_and_left(project: Project, call: Caller) -> None:
    predict(call)
    foreign = project.path / "out" / parts.PARTS / "part-000009.parquet"
    foreign.write_bytes(b"something else")
    message = call.fail(batch_predict.main, FILE="texts.csv", OUT="out", TEXT_COLUMN="body")
    assert "part-000009.parquet is not a part of these predictions. Remove it." in message
    assert foreign.read_bytes() == b"something else"


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("open.csv cannot be read after row 1 (line 2): unexpected end", ["open.csv"]),
        ("twice.csv cannot be read from its beginning", ["twice.csv"]),
        ("There is no file none.csv", ["none.csv"]),
        ("has no column 'body'", ["data/example.csv"]),
        ("params.yaml has an unsupported extension", ["params.yaml"]),
        ("Name a server in MLFLOW_TRACKING_URI", ["texts.csv", "--scheduler", "tcp://127.0.0.1:1"]),
        (
            f"There is no model version models:/{MODEL}/7",
            ["texts.csv", "--model", f"models:/{MODEL}/7"],
        ),
    ],
)
def test_failed_command_has_one_message_and_leaves_no_folder(
    project: Project, call: Caller, message: str, arguments: list[str]
) -> None:
    (project.path / "open.csv").write_text('body\nfine\n"open\n', encoding="utf-8")
    (project.path / "twice.csv").write_text("body,body\na,b\n", encoding="utf-8")
    assert message in call.fail(
        batch_predict.main, "--out", "out", "--text-column", "body", "--file", *arguments
    )
    assert not (project.path / "out").exists()
    assert len(runs()) == 1


def test_version_of_another_project_is_refused_before_the_file_is_read(
    project: Project, call: Caller
) -> None:
    client = mlflow.MlflowClient()
    client.create_registered_model("other")
    client.create_model_version("other", f"models:/{MODEL}/1")
    message = call.fail(
        batch_predict.main, FILE="none.csv", OUT="out", TEXT_COLUMN="body", MODEL="models:/other/1"
    )
    assert "models:/other/1 was not registered by this project. Name a version" in message
    assert not (project.path / "out").exists()


def test_workers_without_dask_are_refused_with_the_command_that_installs_it(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "find_spec", lambda _: None)
    message = call.fail(
        batch_predict.main, FILE="texts.csv", OUT="out", TEXT_COLUMN="body", WORKERS="2"
    )
    assert "Run `make .venv/batch_predict`" in message
    assert not (project.path / "out").exists()


def fill_disk(patch: pytest.MonkeyPatch) -> None:
    """Let the second part fill the disk."""
    write = parquet.write_table

    def fill(table: pyarrow.Table, file: BinaryIO) -> None:
        if "part-000002" in file.name:
            file.write(b"PAR1")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        write(table, file)

    patch.setattr(parquet, "write_table", fill)


def test_a_full_disk_is_one_message_and_the_finished_parts_stay(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fill_disk(patch)
        message = call.fail(
            batch_predict.main, "--file", "texts.csv", "--out", "out", "--text-column", "body"
        )
    assert "No space left on device" in message
    assert names_in(project.path / "out" / parts.PARTS) == ["part-000001.parquet"]
    assert predict(call)["rows"] == COUNT
    assert [run.info.status for run in runs()] == ["FINISHED", "FAILED", "FINISHED"]


def test_folder_that_lacks_a_part_has_no_manifest(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(call)
    (project.path / "out" / parts.PARTS / "part-000002.parquet").unlink()
    fill_disk(monkeypatch)
    call.fail(batch_predict.main, "--file", "texts.csv", "--out", "out", "--text-column", "body")
    assert names_in(project.path / "out") == [".lock", parts.PARTS]


def count_parts(folder: Path) -> int:
    return len([*folder.glob(f"{parts.PARTS}/part-*.parquet")])


def test_a_worker_and_the_command_may_be_killed(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_texts(project.path / "long.csv", seed=3, count=30_000)  # three parts
    monkeypatch.undo()
    stand_in(project.path, monkeypatch)
    predict(call, file="long.csv", out="whole")
    out = project.path / "out"
    command = ("--file", "long.csv", "--out", "out", "--text-column", "body", "--workers", "1")
    process = project.start("python", "-m", "extras.batch_predict", *command)
    wait_until(lambda: count_parts(out))
    children = psutil.Process(process.pid).children(recursive=True)
    next(child for child in children if "spawn_main" in " ".join(child.cmdline())).kill()
    wait_until(lambda: count_parts(out) > 1)
    process.kill()
    process.communicate()
    predict(call, file="long.csv")
    pd.testing.assert_frame_equal(predictions(out), predictions(project.path / "whole"))
    assert len(predictions(out)) == 30_000
    assert not [*out.glob(".texts*"), *out.glob(f"{parts.PARTS}/.*")]
