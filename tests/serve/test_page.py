"""The page explains the predicted label of a text, or another one that is chosen."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sentiment.prediction.explanation import Explanation, WordAttribution
from sentiment.prediction.pyfunc_model import Prediction
from sentiment.serve.app import create_app
from sentiment.text.tokenizer import KERAS, tokenize_with_spans
from tests.serve.browser import chromium, keep_screenshot, text, wait_for_text
from tests.small_project import free_port, wait_until

pytestmark = pytest.mark.slow
VERSION = "models:/stub/3"
LONG_WORD = "well" * 100
CONTENT = f"😀 <b>Good</b>, good, but fair. {LONG_WORD}"
LABELS = ["bad", "fair", "good"]
OVERFLOW = """
const page = document.documentElement
return page.scrollWidth - page.clientWidth
"""


class CountingModel:
    """A model that knows the names of its labels alone: the one that it reads more often wins."""

    def __init__(self, label_names: list[str]) -> None:
        self.label_names = label_names

    def predict_texts(self, texts: Sequence[str]) -> list[Prediction]:
        explained = [self.explain(text) for text in texts]
        return [
            Prediction(each.label, each.probability, each.probabilities, len(each.words), 0)
            for each in explained
        ]

    def explain(self, text: str, label: str | None = None) -> Explanation:
        index = {name: rank for rank, name in enumerate(self.label_names)}
        words = tokenize_with_spans(text, index, KERAS)
        counts = [1 + sum(word.rank == rank for word in words) for rank in index.values()]
        shares = [count / sum(counts) for count in counts]
        probabilities = dict(zip(self.label_names, shares, strict=True))
        label = label or max(self.label_names, key=probabilities.__getitem__)
        effects = [
            WordAttribution(word.start, word.end, 1.5 if word.rank == index[label] else -0.5)
            for word in words
        ]
        return Explanation(label, probabilities[label], probabilities, effects)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


OpenPage = Callable[[list[str]], None]


@pytest.fixture
def open_page(browser: webdriver.Chrome) -> Iterator[OpenPage]:
    """Return a function that serves a model with these labels, and opens its page."""
    port = free_port()
    servers: list[uvicorn.Server] = []
    threads: list[threading.Thread] = []

    def open_page_of(label_names: list[str]) -> None:
        app = create_app(VERSION, cast(Any, CountingModel(label_names)))
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        threads.append(threading.Thread(target=server.run))
        threads[-1].start()
        servers.append(server)
        wait_until(lambda: server.started)
        browser.get(f"http://127.0.0.1:{port}")
        wait_for_text(browser, VERSION)

    yield open_page_of
    browser.get("about:blank")  # closes its connection
    for server in servers:
        server.should_exit = True
    for thread in threads:
        thread.join()


def write_text(browser: webdriver.Chrome, content: str) -> None:
    """Type a text by the keyboard alone. The box has the focus once the page is loaded."""
    box = browser.switch_to.active_element
    assert box.accessible_name == "Text"
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(Keys.DELETE)
    browser.execute_cdp_cmd("Input.insertText", {"text": content})  # keys have no emoji
    box.send_keys(Keys.CONTROL, Keys.ENTER)


def marks(browser: webdriver.Chrome) -> list[tuple[str, str | None]]:
    """Return the colored words, and whether they support the explained label."""
    found = browser.find_elements(By.CSS_SELECTOR, "#words mark")
    return [(mark.text, mark.get_attribute("class")) for mark in found]


def labels(browser: webdriver.Chrome) -> list[str]:
    """Return the labels to choose from, with their probabilities."""
    return [button.text for button in browser.find_elements(By.CSS_SELECTOR, "#labels button")]


def choose(browser: webdriver.Chrome, label: str) -> None:
    browser.find_element(By.XPATH, f"//button[starts-with(., '{label}')]").click()


@pytest.mark.parametrize("width", [1280, 320])
def test_predicted_label_is_explained_at_any_width(
    browser: webdriver.Chrome, open_page: OpenPage, width: int
) -> None:
    # A window cannot be as narrow as a phone.
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    open_page(LABELS)
    write_text(browser, CONTENT)
    wait_for_text(browser, "What each word contributes to good")
    assert "good 50.0%" in text(browser)
    assert browser.find_element(By.ID, "words").text == CONTENT
    assert marks(browser) == [("Good", "supports"), ("good", "supports"), ("fair", "opposes")]
    assert browser.execute_script(OVERFLOW) == 0
    keep_screenshot(browser, f"serve-{width}")
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_label_that_is_chosen_is_explained_for_the_text_that_was_predicted(
    browser: webdriver.Chrome, open_page: OpenPage
) -> None:
    open_page(LABELS)
    write_text(browser, CONTENT)
    wait_for_text(browser, "contributes to good")
    assert labels(browser) == ["good 50.0%", "fair 33.3%", "bad 16.7%"]
    browser.find_element(By.ID, "text").send_keys(" bad bad bad")
    choose(browser, "fair")
    wait_for_text(browser, "contributes to fair")
    assert browser.find_element(By.ID, "words").text == CONTENT
    assert marks(browser) == [("Good", "opposes"), ("good", "opposes"), ("fair", "supports")]
    pressed = browser.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")
    assert [button.text for button in pressed] == ["fair 33.3%"]
    assert browser.find_element(By.ID, "verdict").text == "good 50.0%"


def test_two_labels_are_not_for_choice(browser: webdriver.Chrome, open_page: OpenPage) -> None:
    open_page(["bad", "good"])
    write_text(browser, CONTENT)
    wait_for_text(browser, "contributes to good")
    assert not browser.find_element(By.ID, "labels").is_displayed()


def test_any_of_many_labels_can_be_chosen(browser: webdriver.Chrome, open_page: OpenPage) -> None:
    open_page([*LABELS, *"hijklmn"])
    write_text(browser, CONTENT)
    wait_for_text(browser, "contributes to good")
    assert len(labels(browser)) == 6
    choose(browser, "5 more")
    assert len(labels(browser)) == 10
    choose(browser, "n ")
    wait_for_text(browser, "contributes to n")


def test_text_without_known_words_has_a_label_and_says_so(
    browser: webdriver.Chrome, open_page: OpenPage
) -> None:
    open_page(LABELS)
    write_text(browser, "unheard of")
    wait_for_text(browser, "The model knows none of these words.")
    assert "bad 33.3%" in text(browser)
    assert "All numbers" not in text(browser)


def test_empty_box_is_named(browser: webdriver.Chrome, open_page: OpenPage) -> None:
    open_page(LABELS)
    write_text(browser, " ")
    wait_for_text(browser, "There is no text. Type one first.")
