"""`make report`: one page that says all, is in the run, and needs nothing else to be read."""

import re
from html import unescape
from types import SimpleNamespace

import mlflow
import pytest

from extras.compare import report, run_page
from tests.conftest import Caller, stand_in
from tests.project import Project
from workflow import outputs
from workflow.params import Params

pytestmark = pytest.mark.slow
LINK = "http://127.0.0.1:5000/#/experiments/1/runs/0123abcd"


class Read(SimpleNamespace):
    """What `make report` reads of a finished project."""

    def html(self) -> str:
        return run_page.report(self.record, self.training, self.results, LINK, self.options)


@pytest.fixture
def read(finished: Project, monkeypatch: pytest.MonkeyPatch, default_params: Params) -> Read:
    stand_in(finished.path, monkeypatch)
    options = default_params.evaluate
    record = outputs.read_run_record()
    training = outputs.read_training_record()
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


def test_the_run_has_the_page_and_it_is_written_whatever_becomes_of_the_store(
    project: Project, call: Caller
) -> None:
    assert call(report.main) == "reports/report.html\n"
    logged = mlflow.artifacts.load_text(f"runs:/{project.run_id}/report/report.html")
    assert logged == report.PAGE.read_text(encoding="utf-8")
    mlflow.delete_run(project.run_id)
    said = call(report.main)
    assert "not logged: the tracking store does not have the run, `make sync` makes it." in said
