"""`make report`: one page that says all, is in the run, and needs nothing else to be read."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from extras.compare import report, run_page
from extras.compare import report as command
from tests.browser import keep_screenshot
from tests.conftest import Caller, stand_in
from tests.project import Project, free_port
from workflow import evaluation, files
from workflow.params import Params, load_params
from workflow.runs import logger
from workflow.runs.logger import Run

REPORT = ("python", "-m", "extras.compare.report")
LINK = "http://127.0.0.1:5000/#/experiments/1/runs/0123abcd"


@pytest.fixture(scope="module")
def reported(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project with its report; tests leave it alone."""
    project = finished.copy(tmp_path_factory.mktemp("report") / "project")
    assert project.run(*REPORT) == "reports/report.html\n"
    return project


@pytest.fixture
def html(reported: Project) -> str:
    return (reported.path / report.PAGE).read_text(encoding="utf-8")


class Read:
    """What `make report` reads of a finished project."""

    def __init__(self) -> None:
        self.params = load_params()
        self.training = evaluation.read_training()
        self.results = run_page.read_results()

    def html(self) -> str:
        return run_page.report(self.training, self.results, LINK, self.params)


@pytest.fixture
def read(reported: Project, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.chdir(reported.path)
    return Read()


def run_id(project: Project) -> str:
    return str(json.loads((project.path / "data/train/run.json").read_text())["run_id"])


def test_page_has_the_run_and_where_it_comes_from(html: str, read: Read) -> None:
    tags = read.training.run["tags"]
    assert f"<h1>{read.training.run['name']}</h1>" in html
    assert f"<code>{tags['git.commit']}</code>" in html
    assert "without uncommitted changes" in html
    assert tags["processor.name"] in unescape(html)
    assert f"tensorflow {tags['tensorflow.version']}" in html
    assert f"/runs/{read.training.run['run_id']}" in html


def test_page_has_every_metric_of_the_headline(html: str, read: Read) -> None:
    metrics = read.results.metrics
    assert f">{metrics['test_accuracy']:.2%}<" in html
    for name in ("test_roc_auc", "test_loss", "test_ece", "test_brier"):
        assert f">{metrics[name]:.4f}<" in html
    assert f">{read.training.history['seconds'].sum():,.1f} s<" in html
    assert f">{read.results.cost['parameters']:,}<" in html


def test_page_has_seven_plots_that_say_what_they_show(html: str) -> None:
    assert html.count('<svg class="plot"') == 7
    for caption, alt in run_page.PLOTS.values():
        assert f"<figcaption>{caption}</figcaption>" in html
        assert f'aria-label="{alt}"' in html


def test_page_has_every_mistake_with_its_whole_text(html: str, read: Read) -> None:
    texts = read.results.tables["mistakes"]["text"]
    assert len(texts) == 5
    assert all(f"<p>{text}</p>" in unescape(html) for text in texts)


def test_page_has_every_param(html: str, read: Read) -> None:
    rows = dict(re.findall(r'<th scope="row">([\w.]+)</th><td><code>([^<]+)</code>', html))
    names = [key for key in read.results.params if key.partition(".")[0] in Params.model_fields]
    assert set(rows) == {name.partition(".")[2] for name in names}
    assert rows["units"] == "4"
    assert rows["bidirectional"] == "false"
    assert rows["length_buckets"] == "[40, 60]"


def test_page_says_loudly_that_synthetic_metrics_are_not_those_of_imdb(read: Read) -> None:
    note = "the metrics are NOT IMDB's"
    assert note in unescape(read.html())
    read.results.metrics["dataset"] = "imdb"
    assert note not in unescape(read.html())


def test_page_shows_uncommitted_changes(read: Read) -> None:
    read.training.run["tags"]["git.uncommitted_changes"] = " M stages/<model>.py"
    assert "<pre> M stages/&lt;model&gt;.py</pre>" in read.html()


def test_review_is_text_and_no_markup(read: Read) -> None:
    read.results.tables["mistakes"].loc[0, "text"] = "<script>alert(1)</script> & more"
    html = read.html()
    assert "<script" not in html
    assert "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; more</p>" in html


def test_model_without_mistakes_has_no_list_of_them(read: Read) -> None:
    table = read.results.tables["mistakes"]
    read.results.tables["mistakes"] = table.head(0)
    assert "confident mistakes" not in read.html()


def test_page_loads_nothing(html: str) -> None:
    assert not re.search(r"<(script|link|iframe|object|embed|img)|\bsrc=|@import", html)
    targets = re.findall(r'href="\s*([^"]*)"', html)
    outward = [target for target in targets if not target.startswith(("#", "data:image/png;"))]
    assert len(outward) == 1
    assert outward[0].startswith("http://127.0.0.1:5000/#/experiments/")
    assert set(re.findall(r"url\((.)", html)) == {"#"}


def test_same_files_give_the_same_page(read: Read) -> None:
    assert read.html() == Read().html()


def test_long_review_has_to_be_opened_and_a_short_one_not() -> None:
    assert run_page.excerpt("word " * 41) == "word " * 39 + "word"
    assert run_page.excerpt("word " * 40) == ""


def test_a_share_has_wilson_s_interval_and_other_metrics_a_note(read: Read) -> None:
    answers = pd.DataFrame(
        {"actual": ["positive"] * 100, "predicted": ["positive"] * 80 + [""] * 20}
    )
    read.results.tables["predictions"] = answers
    tiles = {
        tile.name: tile for tile in run_page.headline(read.results, read.training.history, 0.95)
    }
    assert tiles["Test accuracy"].note == "95% interval 71.12% to 86.66%"
    assert {"Training", "Prediction"} <= tiles.keys()
    assert tiles["Test calibration error"].note == "expected (ECE), 10 groups"


def test_a_metric_that_the_evaluation_lacks_is_left_out(read: Read) -> None:
    del read.results.metrics["test_brier"]
    tiles = run_page.headline(read.results, read.training.history, 0.95)
    assert "Test Brier score" not in [tile.name for tile in tiles]


def test_facts_that_are_not_known_are_left_out() -> None:
    run = {"begun": 0, "ended": 60_000, "tags": {"processor.name": "Z80"}}
    metrics = {"test_reviews": 9, "test_reviews_seen": 0, "test_accuracy_unseen": 1.0}
    found = run_page.facts(run, metrics)
    assert list(found) == ["Test set", "Started", "Ended", "Machine"]
    assert found["Ended"] == "1970-01-01 00:01 UTC"


def test_link_leads_to_the_run_that_was_made_again(read: Read) -> None:
    again = Run("again", "name", "7", "")
    assert report.address(read.training, again).endswith("/#/experiments/7/runs/again")


def test_review_that_reads_like_a_missing_number_stays_text(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path)
    mistakes = pd.read_csv(files.EVALUATE / "mistakes.csv").assign(text="null")
    mistakes.to_csv(files.EVALUATE / "mistakes.csv", index=False)
    about = files.read_about(files.EVALUATE)["params"]
    (files.EVALUATE / files.ABOUT).unlink()
    files.write_about(files.EVALUATE, about)
    assert set(run_page.read_results().tables["mistakes"]["text"]) == {"null"}


def test_run_holds_the_page(reported: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reported.path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    mlflow.set_tracking_uri(f"sqlite:///{reported.path}/mlflow.db")
    logged = mlflow.artifacts.download_artifacts(
        run_id=run_id(reported), artifact_path="report/report.html"
    )
    assert Path(logged).read_bytes() == (reported.path / report.PAGE).read_bytes()


def test_report_does_not_load_tensorflow(project: Project) -> None:
    loaded = "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    output = project.run(
        "python",
        "-c",
        f"import sys; from extras.compare import report; print(report.make()); {loaded}",
    )
    assert output == "reports/report.html\n[]\n"


def test_git_ignores_the_page(reported: Project) -> None:
    assert reported.run("git", "status", "--porcelain", "reports") == ""


def test_page_is_written_without_the_store(project: Project) -> None:
    (project.path / "mlflow.db").unlink()
    shutil.rmtree(project.path / "mlruns")
    said, page = project.run(*REPORT).splitlines()[-2:]
    assert said == (
        f"The report is not logged: the tracking store has no run {run_id(project)}, "
        "`make sync` makes it."
    )
    assert (project.path / page).is_file()


def test_page_is_written_while_the_server_is_down(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = f"http://127.0.0.1:{free_port()}"
    stand_in(project.path, monkeypatch)
    said, page = call(command.main, MLFLOW_TRACKING_URI=server).splitlines()
    assert said.startswith(f"The report is not logged: The MLflow server at {server} does not")
    assert f'href="{server}/#/experiments/' in (project.path / page).read_text(encoding="utf-8")


def test_page_is_written_where_the_run_takes_no_files(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(project.path)
    monkeypatch.setattr(logger, "upload", full)
    report.log(Run("run", "name", "1", ""))
    assert "not logged: [Errno 28] No space left on device" in capsys.readouterr().err


Failed = Callable[[Project], str]


@pytest.fixture
def failed(call: Caller, monkeypatch: pytest.MonkeyPatch) -> Failed:
    """Make a report that fails, and leaves no page; return its one message."""

    def fail(project: Project) -> str:
        stand_in(project.path, monkeypatch)
        message = call.fail(command.main)
        assert not (project.path / report.PAGE).exists()
        return message

    return fail


def test_missing_evaluation_is_one_message(project: Project, failed: Failed) -> None:
    shutil.rmtree(project.path / "data/evaluate")
    assert "data/evaluate/about.json is missing. `dvc repro` makes it." in failed(project)


def test_damaged_table_is_one_message(project: Project, failed: Failed) -> None:
    with (project.path / "data/evaluate/roc.csv").open("a") as file:
        file.write("0.5,0.5\n")
    assert "data/evaluate/roc.csv is not as the stage wrote it" in failed(project)


def test_evaluation_of_another_model_is_one_message(project: Project, failed: Failed) -> None:
    about = project.path / "data/train/about.json"
    document = json.loads(about.read_text())
    document["files"]["model.keras"] = "0" * 64
    about.write_text(json.dumps(document))
    assert "data/evaluate is of another model or test set" in failed(project)


def test_params_that_were_changed_since_are_named(project: Project, failed: Failed) -> None:
    project.change(train={"units": 6}, compare={"examples": 3})
    assert "made with other params (train.units): run `dvc repro` first." in failed(project)


def test_folder_that_cannot_be_made_is_one_message(project: Project, failed: Failed) -> None:
    (project.path / "reports").write_text("in the way", encoding="utf-8")
    assert "reports: File exists. Fix that" in failed(project)


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


def show(browser: webdriver.Chrome, project: Project, width: int, scheme: str) -> None:
    """Open the page in a window of that width, in `light` or `dark` mode; keep a picture."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get((project.path / report.PAGE).as_uri())
    keep_screenshot(browser, f"report-{width}-{scheme}")


def complaints(browser: webdriver.Chrome) -> list[str]:
    """What the browser's console says that was not read yet."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


def lightness(browser: webdriver.Chrome, selector: str, style: str) -> float:
    """How light a colour of an element is, from 0 to 255."""
    value = browser.find_element(By.CSS_SELECTOR, selector).value_of_css_property(style)
    channels = [int(number) for number in re.findall(r"\d+", value)[:3]]
    return sum(channels) / 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_no_wider_than_a_phone(
    offline: webdriver.Chrome, reported: Project, scheme: str
) -> None:
    show(offline, reported, 375, scheme)
    for details in offline.find_elements(By.TAG_NAME, "details"):
        offline.execute_script("arguments[0].open = true", details)
    width = offline.execute_script("return document.documentElement.scrollWidth")
    assert width == 375


def test_every_letter_of_a_plot_can_be_read_on_a_phone(
    offline: webdriver.Chrome, reported: Project
) -> None:
    show(offline, reported, 375, "light")
    heights = offline.execute_script(
        "return [...document.querySelectorAll('svg.plot text')]"
        ".map(text => text.getBoundingClientRect().height)"
    )
    assert min(heights) > 9


def test_dark_mode_has_light_letters_on_a_dark_page(
    offline: webdriver.Chrome, reported: Project
) -> None:
    show(offline, reported, 1280, "dark")
    assert lightness(offline, "body", "background-color") < 50
    assert lightness(offline, "body", "color") > 200
    assert lightness(offline, "svg.plot text", "fill") > 200


def test_light_mode_has_dark_letters_on_a_light_page(
    offline: webdriver.Chrome, reported: Project
) -> None:
    show(offline, reported, 1280, "light")
    assert lightness(offline, "body", "background-color") > 200
    assert lightness(offline, "body", "color") < 50
    assert lightness(offline, "svg.plot text", "fill") < 50


def test_browser_has_nothing_to_load_and_nothing_to_complain_of(
    offline: webdriver.Chrome, reported: Project
) -> None:
    show(offline, reported, 1280, "light")
    loaded = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    addresses = offline.execute_script(loaded)
    assert [address for address in addresses if not address.startswith("data:")] == []
    assert complaints(offline) == []
