"""`make demo` in a real browser: what it says of a text, and that nothing comes from elsewhere."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from extras.demo import __main__ as demo
from extras.demo import demo_page, reading
from extras.demo.gates import Gates
from sentiment.errors import UserError
from sentiment.explanation import Contribution, Step
from tests.browser import SECONDS, keep_screenshot, open_page, text
from tests.conftest import Caller, stand_in
from tests.project import Project, free_port, wait_for
from tools import predict
from workflow.registry import champion


def test_a_model_of_before_0_2_0_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = SimpleNamespace(info=SimpleNamespace(run_id="a", run_name="lstm"))
    client = SimpleNamespace(get_run=lambda _: run, get_model_version=lambda *_: run.info)
    monkeypatch.setattr(mlflow, "MlflowClient", lambda: client)
    (tmp_path / "history.csv").write_text("epoch\n1\n", encoding="utf-8")
    path = str(tmp_path / "history.csv")
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda _: path)
    monkeypatch.setattr(champion, "load", lambda _: object())
    with pytest.raises(UserError, match=r"Version 1 of m · lstm was registered before 0\.2\.0"):
        demo_page.load("m", "1")


def test_words_are_coloured_by_what_they_speak_for() -> None:
    content = "fine but\n<dull> & the"
    words = [Contribution(0, 4, 2.0), Contribution(10, 14, -1.0), Contribution(18, 21, 0.01)]
    shown = demo_page.coloured(content, words)
    assert f'<mark title="+2.00" style="background: rgba({demo_page.POSITIVE}, 0.75)' in shown
    assert f'<mark title="-1.00" style="background: rgba({demo_page.NEGATIVE}, 0.45)' in shown
    assert shown.endswith("dull</mark>&gt; &amp; the")
    assert "but<br>&lt;" in shown
    assert demo_page.coloured("fine", [Contribution(0, 4, 0.0)]) == "fine"


def test_a_text_cannot_bring_its_own_html() -> None:
    content = "<script>alert(1)</script> fine"
    shown = demo_page.coloured(content, [Contribution(0, 8, 1.0), Contribution(26, 30, 1.0)])
    assert "<script" not in shown
    assert shown.count("<mark") == 2


STEPS = [Step(0, 3, 0.5), Step(4, 8, 0.25)]
GATES = [Gates(0.8, 0.4, 0.6, 1.0), Gates(0.7, 0.3, 0.5, 4.0)]


def test_a_reading_has_a_row_for_each_word_with_its_numbers() -> None:
    rows = reading.table("not good", STEPS, GATES).to_dict("records")
    assert [row["word"] for row in rows] == ["not", "good"]
    assert len({row["label"] for row in rows}) == 2
    assert [row["label"][reading.PLACE :] for row in rows] == ["not", "good"]
    assert (rows[1]["end"], rows[1]["positive"], rows[1]["forget gate"]) == (8, 0.25, 0.7)


def strips(table: pd.DataFrame) -> list[str]:
    shown: list[str] = reading.strips_chart(table)["transform"][0]["fold"]
    return shown


def test_strips_shade_gates_as_they_are_and_the_cell_by_its_greatest_norm() -> None:
    table = reading.table("not good", STEPS, GATES)
    assert strips(table) == reading.STRIPS
    assert table["output gate"].tolist() == [0.6, 0.5]
    assert table["cell state"].tolist() == [0.25, 1.0]


def test_a_model_without_gates_has_the_strip_of_its_answers_alone() -> None:
    assert strips(reading.table("not good", STEPS)) == ["positive"]


@pytest.fixture(scope="module")
def page(imdb_project: Project) -> Iterator[str]:
    port = free_port()
    process = imdb_project.start("python", "-m", "extras.demo", DEMO_PORT=str(port))
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGHUP)  # as a terminal that is closed does
        process.communicate(timeout=60)
    with pytest.raises(OSError, match="refused"):
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", seconds=0)


def write_review(browser: webdriver.Chrome, review: str) -> None:
    box = browser.find_element(By.CSS_SELECTOR, "textarea")
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(review)
    box.send_keys(Keys.CONTROL, Keys.ENTER)


def marks(browser: webdriver.Chrome) -> list[str]:
    """The coloured words, read in one go: Streamlit replaces them as it answers."""
    script = "return [...document.querySelectorAll('mark')].map(mark => mark.textContent)"
    words: list[str] = browser.execute_script(script)
    return words


def curve_points(browser: webdriver.Chrome, part: str) -> int:
    """How many epochs the champion's curve of a part has."""
    return len(browser.find_elements(By.CSS_SELECTOR, f".mark-symbol [aria-label$='{part}']"))


def test_a_review_gets_its_bar_its_words_and_the_champion_beside_it(
    browser: webdriver.Chrome,
    page: str,
    imdb_project: Project,
    call: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_page(browser, page, "probability of being positive", "The champion", "test accuracy")
    metrics = json.loads((imdb_project.path / "data/evaluate/metrics.json").read_bytes())
    assert f"{metrics['test_accuracy']:.4f}" in text(browser)
    assert "there was no champion" in text(browser)
    WebDriverWait(browser, SECONDS).until(
        lambda b: [curve_points(b, part) for part in ("training", "validation")] == [1, 1]
    )
    review = "An excellent, brilliant and wonderful film. <b>Perfect</b>!"
    write_review(browser, review)
    WebDriverWait(browser, SECONDS).until(lambda b: "wonderful" in marks(b))
    assert {"excellent", "wonderful"} <= set(marks(browser))
    assert "<b>Perfect</b>!" in text(browser)
    stand_in(imdb_project.path, monkeypatch)
    answer = json.loads(call(predict.main, "--json", "--text", review).splitlines()[-1])
    assert f"probability of being positive: {answer['probability']:.1%}" in text(browser)
    keep_screenshot(browser, "demo")


@pytest.mark.parametrize("review", ["zzzunheard", "?!"])
def test_a_review_without_known_words_is_answered(
    browser: webdriver.Chrome, page: str, review: str
) -> None:
    open_page(browser, page, "probability of being positive")
    write_review(browser, review)
    WebDriverWait(browser, SECONDS).until(lambda b: not marks(b) and review in text(b))
    assert "probability of being positive" in text(browser)


def words_of(browser: webdriver.Chrome, words: int) -> list[WebElement]:
    """The places of so many words in the first strip, once all strips are there."""
    selector, strips = "[data-testid=stVegaLiteChart] .mark-rect path", len(reading.STRIPS)

    def drawn(browser: webdriver.Chrome) -> list[WebElement]:
        places = browser.find_elements(By.CSS_SELECTOR, selector)
        return places[::strips] if len(places) == words * strips else []

    return WebDriverWait(browser, SECONDS).until(drawn)


def test_a_word_under_the_pointer_shows_its_numbers(browser: webdriver.Chrome, page: str) -> None:
    open_page(browser, page, "probability of being positive", "forget gate")
    write_review(browser, "zzzunheard but not a good film")
    ActionChains(browser).move_to_element(words_of(browser, 5)[3]).perform()
    shown = "#vg-tooltip-element"
    WebDriverWait(browser, SECONDS).until(
        lambda b: "good" in b.find_element(By.CSS_SELECTOR, shown).text
    )
    numbers = browser.find_element(By.CSS_SELECTOR, shown).text
    for name in ("positive after it", "forget gate", "input gate", "output gate", "norm of the"):
        assert name in numbers
    keep_screenshot(browser, "reading")


def test_a_click_on_a_word_cuts_the_text_there(browser: webdriver.Chrome, page: str) -> None:
    open_page(browser, page, "probability of being positive", "forget gate")
    write_review(browser, "This is not a good film, not at all.")
    words_of(browser, 9)[4].click()
    box = (By.CSS_SELECTOR, "textarea")
    WebDriverWait(browser, SECONDS).until(
        lambda b: b.find_element(*box).get_attribute("value") == "This is not a good"
    )
    assert len(words_of(browser, 5)) == 5


def test_two_texts_are_read_side_by_side(browser: webdriver.Chrome, page: str) -> None:
    open_page(browser, page, "Compare two reviews", "The champion")
    browser.find_element(By.CSS_SELECTOR, "[data-testid=stCheckbox] label").click()
    WebDriverWait(browser, SECONDS).until(
        lambda b: text(b).count("probability of being positive") == 2 and "The champion" in text(b)
    )
    first, second = browser.find_elements(By.CSS_SELECTOR, "textarea")
    assert first.location["y"] == second.location["y"]
    assert first.location["x"] < second.location["x"]


def test_nothing_is_loaded_from_elsewhere(browser: webdriver.Chrome, page: str) -> None:
    open_page(browser, page, "probability of being positive", "The champion")
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert loaded
    assert [name for name in loaded if not name.startswith((page, "data:", "blob:"))] == []
    assert demo.SETTINGS["browser.gatherUsageStats"] == "false"  # which needs a network to be seen


def test_without_a_champion_the_ways_on_are_named(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(project.path, monkeypatch)
    project.change(fetch={"dataset": "imdb"})
    output = call.fail(demo.main, DEMO_PORT=str(free_port()))
    assert "There is no champion of imdb-sentiment yet" in output
