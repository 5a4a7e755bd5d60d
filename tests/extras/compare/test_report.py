"""`make report`: one page that says all, is in the run, and needs nothing else to be read."""

import json
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from extras.compare import report, run_page
from tests.browser import keep_screenshot
from tests.conftest import Caller, runs, stand_in
from tests.project import Project, free_port
from tools import sync
from workflow import evaluation
from workflow.params import Params
from workflow.runs import logger
from workflow.runs.store import RESTORED

LINK = "http://127.0.0.1:5000/#/experiments/1/runs/0123abcd"


@pytest.fixture(scope="module")
def reported(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project with its report; tests leave it alone."""
    project = finished.copy(tmp_path_factory.mktemp("report") / "project")
    assert project.run("python", "-m", "extras.compare.report") == "reports/report.html\n"
    return project


@pytest.fixture
def html(reported: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    stand_in(reported.path, monkeypatch)
    return report.PAGE.read_text(encoding="utf-8")


class Read(SimpleNamespace):
    """What `make report` reads of a finished project."""

    def html(self) -> str:
        return run_page.report(self.training, self.results, LINK, self.options)


@pytest.fixture
def read(reported: Project, monkeypatch: pytest.MonkeyPatch, default_params: Params) -> Read:
    stand_in(reported.path, monkeypatch)
    options = default_params.evaluate
    training, results = evaluation.read_training(), run_page.read_results()
    return Read(options=options, training=training, results=results)


@pytest.fixture
def own(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A finished project of one's own, which is the working directory."""
    stand_in(project.path, monkeypatch)
    return project


def run_id() -> str:
    return str(json.loads(Path("data/train/run.json").read_text())["run_id"])


def test_page_has_the_run_and_where_it_comes_from(html: str, read: Read) -> None:
    tags = read.training.run["tags"]
    assert f"<h1>{read.training.run['name']}</h1>" in html
    assert f"<code>{tags['git.commit']}</code>" in html
    assert "without uncommitted changes" in html
    assert f"/runs/{read.training.run['run_id']}" in html
    assert '<th scope="row">Test set</th><td>200 reviews, ' in html
    for name in ("processor.name", "tensorflow.version", "data.x_train.sha256"):
        assert f'<th scope="row">{name}</th><td>{tags[name]}</td>' in unescape(html)


def test_page_has_every_metric_of_the_headline_and_seven_plots(html: str, read: Read) -> None:
    metrics, cost = read.results.metrics, read.results.cost
    shown = [f"{metrics['test_accuracy']:.2%}", f"{cost['parameters']:,}"]
    shown += [f"{metrics[f'test_{name}']:.4f}" for name in ("roc_auc", "loss", "ece", "brier")]
    shown += [f"{read.training.history['seconds'].sum():,.1f} s"]
    shown += [f"{cost['milliseconds_per_review']:.3f} ms"]
    assert [value for value in shown if f'<dd class="value">{value}</dd>' not in html] == []
    assert html.count('<svg class="plot"') == 7
    for caption in run_page.PLOTS.values():
        assert f"<figcaption>{caption}</figcaption>" in html
        assert f'aria-label="{caption}"' in html


def test_page_has_every_mistake_with_its_whole_text(read: Read) -> None:
    mistakes = read.results.tables["mistakes"]
    texts = ["word " * 40, "word " * 41, *mistakes["text"][2:]]
    read.results.tables["mistakes"] = mistakes.assign(text=texts)
    html = unescape(read.html())
    assert len(texts) == 5
    assert all(f"<p>{text}</p>" in html for text in texts)
    # a long one has to be opened
    assert html.count("<details>") == 1 + sum(len(text.split()) > 40 for text in texts[2:])
    assert f'<span class="excerpt">{("word " * 40).strip()} … </span>' in html


def test_page_has_every_param(html: str, read: Read) -> None:
    rows = dict(re.findall(r'<th scope="row">([\w.]+)</th><td><code>([^<]+)</code>', html))
    names = {key for key in read.results.params if key.partition(".")[0] in Params.model_fields}
    assert set(rows) == names
    expected = {"units": "4", "bidirectional": "false"}
    assert {name: rows[f"train.{name}"] for name in expected} == expected
    assert rows["evaluate.length_buckets"] == "[40, 60]"


def test_page_says_that_data_are_synthetic_and_what_was_not_committed(read: Read) -> None:
    note = "the metrics are NOT IMDB's"
    assert note in unescape(read.html())
    read.results.metrics["dataset"] = "imdb"
    read.training.run["tags"]["git.uncommitted_changes"] = " M stages/<model>.py"
    html = read.html()
    assert note not in unescape(html)
    assert "<pre> M stages/&lt;model&gt;.py</pre>" in html


def test_a_mistake_is_text_and_no_markup_and_needs_no_text(read: Read) -> None:
    table = read.results.tables["mistakes"]
    table.loc[0, "text"] = "<script>alert(1)</script> & more"
    html = read.html()
    assert "<script" not in html
    assert "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; more</p>" in html
    read.results.tables["mistakes"] = table.drop(columns="text")
    assert read.html().count("taken for") == 5
    read.results.tables["mistakes"] = table.head(0)
    assert "confident mistakes" not in read.html()


def test_page_loads_nothing(html: str) -> None:
    assert not re.search(r"<(script|link|iframe|object|embed|img)|\bsrc=|@import", html)
    targets = re.findall(r'href="\s*([^"]*)"', html)
    (outward,) = [target for target in targets if not target.startswith(("#", "data:image/png;"))]
    assert outward.startswith("http://127.0.0.1:5000/#/experiments/")
    assert set(re.findall(r"url\((.)", html)) == {"#"}


def test_a_share_has_wilson_s_interval_and_other_metrics_a_note(read: Read) -> None:
    read.results.tables["predictions"] = pd.DataFrame(
        {"actual": ["positive"] * 100, "predicted": ["positive"] * 80 + [""] * 20}
    )
    del read.results.metrics["test_brier"]  # one that an evaluation lacks is left out
    notes = {name: note for name, _, note in run_page.headline(read.results)}
    assert notes["accuracy"] == "95% interval 71.12% to 86.66%"
    assert notes["calibration error"] == "expected (ECE), 10 groups"
    assert "Brier score" not in notes


def test_review_that_reads_like_a_missing_number_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "mistakes.csv"
    evaluation.write_table(path, pd.DataFrame({"text": ["null", "7"]}))
    assert evaluation.read_table(path)["text"].tolist() == ["null", "7"]


def test_run_holds_the_page_and_git_ignores_it(reported: Project, html: str) -> None:
    logged = mlflow.artifacts.download_artifacts(
        run_id=run_id(), artifact_path="report/report.html"
    )
    assert Path(logged).read_text(encoding="utf-8") == html
    assert reported.run("git", "status", "--porcelain", "reports") == ""


@pytest.mark.usefixtures("own")
def test_page_is_written_whatever_becomes_of_the_store(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(logger, "upload", full)
        said = call(report.main)
    assert "The report is not logged: [Errno 28] No space left on device" in said
    lost = run_id()
    mlflow.delete_run(lost)
    said = call(report.main)
    assert f"not logged: the tracking store has no run {lost}, `make sync` makes it." in said
    call(sync.main)
    call(report.main)  # leads to the run that was made again
    (again,) = (run.info.run_id for run in runs() if run.data.tags.get(RESTORED) == lost)
    assert f'/runs/{again}"' in report.PAGE.read_text(encoding="utf-8")
    server = f"http://127.0.0.1:{free_port()}"
    said = call(report.main, MLFLOW_TRACKING_URI=server)
    assert said.startswith(f"The report is not logged: The MLflow server at {server} does not")
    assert f'href="{server}/#/experiments/' in report.PAGE.read_text(encoding="utf-8")


@pytest.mark.usefixtures("own")
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


@pytest.fixture
def offline(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """A browser without a network, with nothing left to say about earlier pages."""
    browser.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    complaints(browser)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    again = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **again})


def complaints(browser: webdriver.Chrome) -> list[str]:
    """What the browser's console says that was not read yet."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


def lightness(browser: webdriver.Chrome, selector: str, style: str) -> float:
    """How light a colour of an element is, from 0 to 255."""
    value = browser.find_element(By.CSS_SELECTOR, selector).value_of_css_property(style)
    return sum(int(number) for number in re.findall(r"\d+", value)[:3]) / 3


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1280, "light"), (1280, "dark")])
def test_page_fits_its_window_letters_stand_out_and_nothing_is_loaded(
    offline: webdriver.Chrome, reported: Project, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    offline.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    offline.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    offline.get((reported.path / report.PAGE).as_uri())
    keep_screenshot(offline, f"report-{width}-{scheme}")
    for details in offline.find_elements(By.TAG_NAME, "details"):
        offline.execute_script("arguments[0].open = true", details)
    assert offline.execute_script("return document.documentElement.scrollWidth") <= width
    heights = offline.execute_script(
        "return [...document.querySelectorAll('svg.plot text')]"
        ".map(text => text.getBoundingClientRect().height)"
    )
    assert min(heights) > 9
    paper = lightness(offline, "body", "background-color")
    letters = [lightness(offline, "body", "color"), lightness(offline, "svg.plot text", "fill")]
    if scheme == "dark":
        paper, letters = 255 - paper, [255 - letter for letter in letters]
    assert paper > 200
    assert max(letters) < 55
    loaded = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    addresses = offline.execute_script(loaded)
    assert [address for address in addresses if not address.startswith("data:")] == []
    assert complaints(offline) == []
