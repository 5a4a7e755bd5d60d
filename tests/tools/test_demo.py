"""`make demo` in a real browser: what it says of a text, and that nothing comes from elsewhere."""

import json
import signal
import socket
from collections.abc import Iterator

import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from sentiment.serving.classifier import Contribution
from tests.browser import SECONDS, keep_screenshot, open_page, text
from tests.conftest import Caller, stand_in
from tests.project import Project, free_port, until, wait_for
from tools import demo
from tools.pages import demo as demo_page


def test_words_are_coloured_by_what_they_speak_for() -> None:
    content = "fine but\n<dull> & the"
    words = [Contribution(0, 4, 2.0), Contribution(10, 14, -1.0), Contribution(18, 21, 0.01)]
    shown = demo_page.coloured(content, words)
    assert f'<mark title="+2.00" style="background: rgba({demo_page.POSITIVE}, 0.75)' in shown
    assert f'<mark title="-1.00" style="background: rgba({demo_page.NEGATIVE}, 0.45)' in shown
    assert shown.endswith("dull</mark>&gt; &amp; the")
    assert "but<br>&lt;" in shown


def test_a_text_cannot_bring_its_own_html() -> None:
    content = "<script>alert(1)</script> fine"
    shown = demo_page.coloured(content, [Contribution(1, 7, 1.0), Contribution(26, 30, 1.0)])
    assert "<script" not in shown
    assert shown.count("<mark") == 2


@pytest.mark.parametrize("words", [[], [Contribution(0, 4, 0.0)]])
def test_words_without_effect_have_no_colour(words: list[Contribution]) -> None:
    assert demo_page.coloured("fine", words) == "fine"


def test_curves_have_a_row_for_each_epoch_and_part() -> None:
    history = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.7, 0.8], "val_accuracy": [0.6, 0.65]})
    rows = demo_page.curves(history.assign(loss=0.5)).to_dict("records")
    assert rows[0] == {"epoch": 1, "part": "training", "accuracy": 0.7}
    assert rows[3] == {"epoch": 2, "part": "validation", "accuracy": 0.65}


def test_the_page_is_served_on_the_loopback_and_reports_to_nobody() -> None:
    command = demo.command(8501)
    assert "--server.address=127.0.0.1" in command
    assert "--browser.gatherUsageStats=false" in command


@pytest.fixture(scope="module")
def page(imdb_project: Project) -> Iterator[str]:
    port = free_port()
    process = imdb_project.start("python", "-m", "tools.demo", DEMO_PORT=str(port))
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


def test_a_review_gets_its_bar_its_words_and_the_champion_beside_it(
    browser: webdriver.Chrome, page: str, imdb_project: Project
) -> None:
    open_page(browser, page, "probability of being positive", "The champion", "test accuracy")
    metrics = json.loads((imdb_project.path / "data/evaluate/metrics.json").read_bytes())
    assert f"{metrics['test_accuracy']:.4f}" in text(browser)
    assert "there was no champion" in text(browser)
    write_review(browser, "An excellent, brilliant and wonderful film. <b>Perfect</b>!")
    WebDriverWait(browser, SECONDS).until(lambda b: "wonderful" in marks(b))
    assert {"excellent", "wonderful"} <= set(marks(browser))
    assert "<b>Perfect</b>!" in text(browser)
    answer = imdb_project.run(
        "python",
        "-m",
        "tools.predict",
        "--json",
        TEXT="An excellent, brilliant and wonderful film. <b>Perfect</b>!",
    )
    probability = json.loads(answer.splitlines()[-1])["probability"]
    assert f"probability of being positive: {probability:.1%}" in text(browser)
    assert browser.find_elements(By.CSS_SELECTOR, "[data-testid=stVegaLiteChart]")
    keep_screenshot(browser, "demo")


def marks(browser: webdriver.Chrome) -> list[str]:
    """The coloured words, read in one go: Streamlit replaces them as it answers."""
    script = "return [...document.querySelectorAll('mark')].map(mark => mark.textContent)"
    words: list[str] = browser.execute_script(script)
    return words


@pytest.mark.parametrize("review", ["zzzunheard", "?!"])
def test_a_review_without_known_words_is_answered(
    browser: webdriver.Chrome, page: str, review: str
) -> None:
    open_page(browser, page, "probability of being positive")
    write_review(browser, review)
    WebDriverWait(browser, SECONDS).until(lambda b: not marks(b) and review in text(b))
    assert "probability of being positive" in text(browser)


def test_nothing_is_loaded_from_elsewhere(browser: webdriver.Chrome, page: str) -> None:
    open_page(browser, page, "probability of being positive", "The champion")
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert loaded
    assert [name for name in loaded if not name.startswith((page, "data:", "blob:"))] == []


def test_without_a_champion_the_ways_on_are_named(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(project.path, monkeypatch)
    output = call.fail(demo.main, DEMO_PORT=str(free_port()))
    assert "There is no champion of imdb-sentiment yet" in output


def test_a_page_whose_output_is_closed_ends_with_its_command(imdb_project: Project) -> None:
    """Streamlit fails over the closed output, and may stay and listen all the same."""
    port = free_port()
    process = imdb_project.start("python", "-m", "tools.demo", DEMO_PORT=str(port))
    assert process.stdout is not None
    assert any(line.startswith("Version 1 of") for line in process.stdout)
    process.stdout.close()  # as `| head -n 1` does
    until(lambda: listens(port) or process.poll() is not None)
    process.terminate()
    process.wait(timeout=10)
    assert not listens(port)


def listens(port: int) -> bool:
    """Whether something accepts connections on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
