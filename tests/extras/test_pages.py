"""Texts and names of others are only text on the pages of extras."""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browser import keep_screenshot, open_page
from tests.own_texts import CONTROLS, NAME
from tests.project import Project

pytestmark = pytest.mark.slow
WIDTH = 375  # of a phone's window, in pixels


def assert_harmless(browser: webdriver.Chrome, page: str, *expected: str) -> None:
    """Open a page, and check that no text or name became an element, a script or a template."""
    open_page(browser, page, *expected)
    assert browser.find_elements("css selector", "img[src='x']") == []
    scripts = browser.find_elements("tag name", "script")
    contents = [script.get_attribute("textContent") or "" for script in scripts]
    assert not [content for content in contents if "alert(1)" in content]
    content = browser.execute_script("return document.body.innerText")
    assert not set(content) & CONTROLS
    assert [sign for sign in (">49", " 49 ", "$49") if sign in content] == []


@pytest.fixture
def phone(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """A browser with the window of a phone."""
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_comparison_loads_nothing_and_fits_a_phone(
    private: Project, phone: webdriver.Chrome
) -> None:
    page = private.path / "reports" / "compare-champion-workspace" / "report.html"
    assert_harmless(phone, page.as_uri(), NAME)
    keep_screenshot(phone, "own-texts-compare")
    assert phone.execute_script("return document.documentElement.scrollWidth") <= WIDTH
    loaded = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    urls = phone.execute_script(loaded)
    assert [url for url in urls if not url.startswith("data:")] == []
