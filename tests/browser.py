"""Chromium for tests. The screenshots stay in test-artifacts/."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SCREENSHOTS = Path(__file__).parents[1] / "test-artifacts"
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--window-size=1600,1000"
).split()
SECONDS = 300


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Start Debian's Chromium, headless, with a new profile. Without it, skip the test."""
    binary = shutil.which("chromium")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip(
            "chromium and chromedriver are not installed (Debian: chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as chrome:
        yield chrome


def text(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def open_page(browser: webdriver.Chrome, page: str, *expected: str) -> None:
    """Load a page again and wait until all expected texts are on it."""
    browser.get("about:blank")
    browser.get(page)
    WebDriverWait(browser, SECONDS).until(lambda b: all(part in text(b) for part in expected))


def keep_screenshot(browser: webdriver.Chrome, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    assert browser.save_screenshot(str(SCREENSHOTS / f"{name}.png"))


def wait_for_curves(browser: webdriver.Chrome, metrics: str, expected: dict[str, int]) -> None:
    """Wait until MLflow's chart page shows the expected number of curves by title.

    Args:
        browser: shows the page.
        metrics: a search for the metrics to show.
        expected: the number of curves by title.
    """
    search = browser.find_element(By.CSS_SELECTOR, "input[placeholder='Search metric charts']")
    search.send_keys(metrics)
    WebDriverWait(browser, SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda chrome: count_curves(chrome) == expected
    )


def count_curves(browser: webdriver.Chrome) -> dict[str, int]:
    """Return the number of curves in each chart of MLflow's page, by the chart's title."""
    cards = browser.find_elements(
        By.CSS_SELECTOR, "[data-testid=experiment-view-compare-runs-card]"
    )
    return {card.text.partition("\n")[0]: count_traces(card) // 2 for card in cards}


def count_traces(card: WebElement) -> int:
    """Count the traces: two for each curve, a line and an area under the pointer."""
    return len(card.find_elements(By.CSS_SELECTOR, ".scatterlayer .trace"))
