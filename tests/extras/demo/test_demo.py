"""`sentiment demo` in a real browser shows a prediction and loads nothing from elsewhere."""

import signal
import sys
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from extras.demo import page
from sentiment.prediction.explanation import WordAttribution, explain
from tests.browser import SECONDS, chromium, keep_screenshot, open_page, text
from tests.conftest import Command
from tests.project import MODEL, Project, free_port, wait_for
from workflow import files
from workflow.versions import load_model

pytestmark = pytest.mark.slow
AXIS_LABELS = """
return [...document.querySelectorAll('.mark-text.role-axis-label text')]
    .map(label => [label.getBoundingClientRect().x, label.textContent])
    .filter(([, content]) => !/^[0-9.]+$/.test(content))
    .sort(([first], [second]) => first - second)
    .map(([, content]) => content)
"""
RESOURCES = "return performance.getEntriesByType('resource').map(entry => entry.name)"


def test_words_are_colored_by_attribution_and_text_is_escaped() -> None:
    content = "fine but\n<dull> & the"
    words = [
        WordAttribution(0, 4, 2.0),
        WordAttribution(10, 14, -1.0),
        WordAttribution(18, 21, 0.01),
    ]
    shown = page.highlight_words(content, words)
    assert f'<mark title="+2.00" style="background: rgba({page.POSITIVE_COLOR}, 0.75)' in shown
    assert f'<mark title="-1.00" style="background: rgba({page.NEGATIVE_COLOR}, 0.45)' in shown
    assert shown.endswith("dull</mark>&gt; &amp; the")
    assert "but<br>&lt;" in shown
    assert page.highlight_words("<b>", [WordAttribution(1, 2, 0.0)]) == "&lt;b&gt;"


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


def wait_for_chart(browser: webdriver.Chrome, *words: str) -> None:
    """Wait until the chart has these words from left to right."""
    WebDriverWait(browser, SECONDS).until(lambda b: b.execute_script(AXIS_LABELS) == [*words])


def test_page_shows_prediction_words_and_curve_of_each_review(
    finished: Project, tmp_path: Path
) -> None:
    review = "The plot was not good <b>film</b>!"
    expected = explain(load_model(f"models:/{MODEL}/1"), review)
    accuracy = files.read_json(files.TEST_METRICS_FILE)["test_accuracy"]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = finished.start(sys.executable, "-m", "cli", "demo", f"--port={port}")
    try:
        wait_for(f"{url}/_stcore/health")
        with chromium(tmp_path / "profile") as browser:
            open_page(browser, url, "probability of", f"test accuracy {accuracy:.4f}")
            write_review(browser, review)
            wait_for_chart(browser, "The", "plot", "was", "not", "good", "film")
            shown = text(browser)
            assert expected.label.capitalize() in shown
            assert f"probability of {expected.label}: {expected.probability:.1%}" in shown
            assert shown.count("<b>film</b>!") == 2  # in the box and below
            assert "film" in marks(browser)
            keep_screenshot(browser, "demo")
            write_review(browser, "film plot was not good The")
            wait_for_chart(browser, "film", "plot", "was", "not", "good", "The")
            loaded = browser.execute_script(RESOURCES)
            assert loaded
            assert [name for name in loaded if not name.startswith((url, "data:", "blob:"))] == []
    finally:
        server.send_signal(signal.SIGTERM)
        output, _ = server.communicate(timeout=300)
    assert server.returncode == 0
    assert "Traceback" not in output


def test_missing_champion_is_reported(project: Project, sentiment: Command) -> None:
    project.change(fetch={"dataset": "imdb"})
    message = sentiment.fail("demo", "--port", str(free_port()))
    assert message.startswith("Error: There is no champion of imdb-sentiment. ")
