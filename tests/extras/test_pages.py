"""Texts and names of others do nothing on the pages of a capability that show them."""

from pathlib import Path

from selenium import webdriver

from tests.browser import keep_screenshot, open_page, text
from tests.conftest import Starter
from tests.own_texts import CONTROLS, NAME
from tests.project import Project, free_port, wait_for


def assert_harmless(browser: webdriver.Chrome, page: str, *expected: str) -> None:
    """Open a page: nothing of a text or a name is an element, a script or a template on it."""
    open_page(browser, page, *expected)
    assert browser.find_elements("css selector", "img[src='x']") == []
    scripts = browser.find_elements("tag name", "script")
    contents = [script.get_attribute("textContent") or "" for script in scripts]
    assert not [content for content in contents if "alert(1)" in content]
    content = browser.execute_script("return document.body.innerText")
    assert not set(content) & CONTROLS
    assert [sign for sign in (">49", " 49 ", "$49") if sign in content] == []


def test_in_report_and_comparison(private: Project, browser: webdriver.Chrome) -> None:
    reports = private.path / "reports"
    assert_harmless(browser, (reports / "compare-champion-workspace/report.html").as_uri(), NAME)
    page = (reports / "report.html").as_uri()
    assert_harmless(browser, page, NAME, "Most confident mistakes")
    assert "produit" in text(browser)  # of a text, where that is allowed
    keep_screenshot(browser, "own-texts-report")


def test_in_the_demo(
    private: Project, start: Starter, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    project, port = private.copy(tmp_path / "project"), free_port()
    start(project, "python", "-m", "extras.demo", DEMO_PORT=str(port))
    wait_for(f"http://127.0.0.1:{port}/_stcore/health")
    assert_harmless(browser, f"http://127.0.0.1:{port}", "The champion", NAME)
    keep_screenshot(browser, "own-texts-demo")
