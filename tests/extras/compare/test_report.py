"""`make report`: one page that says all, is in the run, and needs nothing else to be read."""

import json
import re
import shutil
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest

from extras.compare import report, run_page
from tests.conftest import Caller, runs, stand_in
from tests.project import Project, free_port
from tools import sync
from workflow import outputs, tracking
from workflow.params import Params

LINK = "http://127.0.0.1:5000/#/experiments/1/runs/0123abcd"


class Read(SimpleNamespace):
    """What `make report` reads of a finished project."""

    def html(self) -> str:
        return run_page.report(self.record, self.training, self.results, LINK, self.options)


@pytest.fixture
def read(finished: Project, monkeypatch: pytest.MonkeyPatch, default_params: Params) -> Read:
    stand_in(finished.path, monkeypatch)
    options = default_params.evaluate
    record, training = outputs.read_run_record(), outputs.read_training_record()
    results = run_page.read_results()
    return Read(options=options, record=record, training=training, results=results)


def test_page_has_the_run_metrics_plots_and_params_and_loads_nothing(read: Read) -> None:
    html, training, results = read.html(), read.training, read.results
    tags = read.record.tags
    assert f"<h1>{training.name}</h1>" in html
    assert f"<code>{tags['git.commit']}</code>" in html
    assert "without uncommitted changes" in html
    assert '<th scope="row">Test set</th><td>200 reviews, ' in html
    assert f'<th scope="row">processor.name</th><td>{tags["processor.name"]}</td>' in unescape(html)

    shown = [f"{results.metrics['test_accuracy']:.2%}", f"{results.cost['parameters']:,}"]
    shown += [f"{results.metrics[f'test_{name}']:.4f}" for name in ("loss", "ece", "brier")]
    shown += [f"{training.history['seconds'].sum():,.1f} s"]
    assert [value for value in shown if f'<dd class="value">{value}</dd>' not in html] == []
    for caption in run_page.PLOTS.values():
        assert f'aria-label="{caption}"' in html
    rows = dict(re.findall(r'<th scope="row">([\w.]+)</th><td><code>([^<]+)</code>', html))
    names = {key for key in results.params if key.partition(".")[0] in Params.model_fields}
    assert set(rows) == names
    assert rows["evaluate.length_buckets"] == "[40, 60]"

    assert not re.search(r"<(script|link|iframe|object|embed|img)|\bsrc=|@import", html)
    targets = re.findall(r'href="\s*([^"]*)"', html)
    assert [name for name in targets if not name.startswith(("#", "data:image/png;"))] == [LINK]
    assert set(re.findall(r"url\((.)", html)) == {"#"}


def test_page_says_that_data_are_synthetic_and_what_was_not_committed(read: Read) -> None:
    note = "the metrics are NOT IMDB's"
    assert note in unescape(read.html())
    read.results.metrics["dataset"] = "imdb"
    read.record.tags["git.uncommitted_changes"] = " M stages/<model>.py"
    html = read.html()
    assert note not in unescape(html)
    assert "<pre> M stages/&lt;model&gt;.py</pre>" in html


def test_every_mistake_has_its_whole_text_as_text_or_none(read: Read) -> None:
    table = read.results.tables["mistakes"]
    texts = ["<script>alert(1)</script> & more", "word " * 41, *table["text"][2:]]
    read.results.tables["mistakes"] = table.assign(text=texts)
    html = read.html()
    assert "<script" not in html
    assert len(texts) == 5
    assert all(f"<p>{text}</p>" in unescape(html) for text in texts)
    read.results.tables["mistakes"] = table.drop(columns="text")
    assert read.html().count("taken for") == 5


def test_the_run_has_the_page_and_it_is_written_whatever_becomes_of_the_store(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    assert call(report.main) == "reports/report.html\n"
    logged = mlflow.artifacts.load_text(f"runs:/{project.run_id}/report/report.html")
    assert logged == report.PAGE.read_text(encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "log_text", full)
        said = call(report.main)
    assert "The report is not logged: [Errno 28] No space left on device" in said
    lost = project.run_id
    mlflow.delete_run(lost)
    said = call(report.main)
    assert "not logged: the tracking store does not have the run, `make sync` makes it." in said
    call(sync.main)
    call(report.main)  # leads to the run that was made again
    (again,) = (run.info.run_id for run in runs() if run.info.run_id != lost)
    assert f'/runs/{again}"' in report.PAGE.read_text(encoding="utf-8")
    server = f"http://127.0.0.1:{free_port()}"
    said = call(report.main, MLFLOW_TRACKING_URI=server)
    assert said.startswith(f"The report is not logged: The MLflow server at {server} does not")


@pytest.mark.usefixtures("project")
def test_what_is_missing_damaged_or_in_the_way_is_one_message(call: Caller) -> None:
    reports, about, roc = map(Path, ("reports", "data/train/about.json", "data/evaluate/roc.csv"))
    reports.write_text("in the way", encoding="utf-8")
    assert "reports: File exists. Fix that" in call.fail(report.main)
    reports.unlink()
    roc.write_text(f"{roc.read_text()}0.5,0.5\n")
    assert "data/evaluate/roc.csv is not as the stage wrote it" in call.fail(report.main)
    document = json.loads(about.read_text())
    document["files"]["model.keras"] = "0" * 64
    about.write_text(json.dumps(document))
    assert "data/evaluate is of another model or test set" in call.fail(report.main)
    shutil.rmtree("data/evaluate")
    assert "data/evaluate/about.json is missing. `dvc repro` makes it." in call.fail(report.main)
    assert not report.PAGE.exists()
