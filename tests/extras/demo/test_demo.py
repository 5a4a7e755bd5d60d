"""`make demo` in a real browser shows a prediction and loads nothing from elsewhere."""

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from extras.demo import __main__ as demo
from extras.demo import app, charts
from extras.demo.gates import Gates
from sentiment.explanation import PrefixPrediction, WordAttribution
from tests.browser import SECONDS, keep_screenshot, open_page, text
from tests.conftest import Caller, Starter, stand_in
from tests.project import Project, free_port, wait_for
from tools import predict
from workflow import files


def test_words_are_colored_by_attribution_and_text_is_escaped() -> None:
    content = "fine but\n<dull> & the"
    words = [
        WordAttribution(0, 4, 2.0),
        WordAttribution(10, 14, -1.0),
        WordAttribution(18, 21, 0.01),
    ]
    shown = app.highlight_words(content, words)
    assert f'<mark title="+2.00" style="background: rgba({app.POSITIVE}, 0.75)' in shown
    assert f'<mark title="-1.00" style="background: rgba({app.NEGATIVE}, 0.45)' in shown
    assert shown.endswith("dull</mark>&gt; &amp; the")
    assert "but<br>&lt;" in shown
    assert app.highlight_words("<b>", [WordAttribution(1, 2, 0.0)]) == "&lt;b&gt;"


def test_table_has_prediction_gates_and_relative_cell_state_of_each_word() -> None:
    steps = [PrefixPrediction(0, 3, 0.5), PrefixPrediction(4, 8, 0.25)]
    table = charts.prefix_table(
        "not good", steps, [Gates(0.8, 0.4, 0.6, 1.0), Gates(0.7, 0.3, 0.5, 4.0)]
    )
    assert table.to_numpy().tolist() == [
        ["001 not", 0.5, 0.8, 0.4, 0.6, 0.25],
        ["002 good", 0.25, 0.7, 0.3, 0.5, 1.0],
    ]


def write_review(browser: webdriver.Chrome, review: str) -> None:
    box = browser.find_element(By.CSS_SELECTOR, "textarea")
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(review)
    box.send_keys(Keys.CONTROL, Keys.ENTER)


def marks(browser: webdriver.Chrome) -> list[str]:
    """Return the colored words, read by one script, because Streamlit replaces them."""
    script = "return [...document.querySelectorAll('mark')].map(mark => mark.textContent)"
    words: list[str] = browser.execute_script(script)
    return words


def points(browser: webdriver.Chrome, name: str) -> int:
    """Return how many points a line of the chart has."""
    return len(browser.find_elements(By.CSS_SELECTOR, f".mark-symbol [aria-label*='{name}']"))


@pytest.mark.slow
def test_page_shows_prediction_words_and_gates_of_a_review(
    browser: webdriver.Chrome,
    finished: Project,
    start: Starter,
    call: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    review = "The plot was not good <b>film</b>!"
    page = f"http://127.0.0.1:{port}"
    start(finished, "python", "-m", "extras.demo", DEMO_PORT=str(port))
    wait_for(f"{page}/_stcore/health")
    open_page(browser, page, "probability of being positive", "The champion", "test accuracy")
    accuracy = files.read_json(finished.path / "data/evaluate/metrics.json")["test_accuracy"]
    assert f"{accuracy:.4f}" in text(browser)
    write_review(browser, review)
    WebDriverWait(browser, SECONDS).until(
        lambda b: "<b>film</b>!" in text(b) and "plot" in marks(b)
    )
    stand_in(finished.path, monkeypatch)
    prediction = call.json(predict.main, "--text", review)
    assert f"probability of being positive: {prediction['probability']:.1%}" in text(browser)
    lines = ["positive", *charts.GATES]
    WebDriverWait(browser, SECONDS).until(lambda b: [points(b, name) for name in lines] == [6] * 5)
    keep_screenshot(browser, "demo")
    write_review(browser, "?!")
    WebDriverWait(browser, SECONDS).until(lambda b: not marks(b) and "?!" in text(b))
    assert "probability of being positive" in text(browser)
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert loaded
    assert [name for name in loaded if not name.startswith((page, "data:", "blob:"))] == []
    # Usage statistics could be seen only with a network.
    assert demo.STREAMLIT_CONFIG["browser.gatherUsageStats"] == "false"


@pytest.mark.slow
def test_missing_champion_is_reported(project: Project, call: Caller) -> None:
    project.change(fetch={"dataset": "imdb"})
    output = call.fail(demo.main, DEMO_PORT=str(free_port()))
    assert "There is no champion of imdb-sentiment yet" in output
