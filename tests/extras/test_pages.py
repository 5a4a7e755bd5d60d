"""Texts and names of others do nothing on the pages of a capability that show them."""

import pytest
from selenium import webdriver

from tests.browser import keep_screenshot, open_page, text
from tests.conftest import Starter
from tests.own_texts import CONTROLS, NAME
from tests.project import Project, free_port, wait_for


@pytest.fixture(scope="module")
def shown(own_texts: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with texts of one's own in its report and in a comparison."""
    project = own_texts.copy(tmp_path_factory.mktemp("shown") / "project")
    project.change(evaluate={"log_texts": True})
    project.run("dvc", "repro")
    project.run("python", "-m", "extras.compare.report")
    project.change(train={"units": 3})
    project.run("dvc", "repro")
    project.run("python", "-m", "extras.compare", "--a", "champion")
    return project


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


def test_in_report_and_comparison(shown: Project, browser: webdriver.Chrome) -> None:
    reports = shown.path / "reports"
    assert_harmless(browser, (reports / "compare-champion-workspace/report.html").as_uri(), NAME)
    page = (reports / "report.html").as_uri()
    assert_harmless(browser, page, NAME, "Most confident mistakes")
    assert "produit" in text(browser)  # of a text, where that is allowed
    keep_screenshot(browser, "own-texts-report")


def test_in_the_demo(shown: Project, start: Starter, browser: webdriver.Chrome) -> None:
    port = free_port()
    start(shown, "python", "-m", "extras.demo", DEMO_PORT=str(port))
    wait_for(f"http://127.0.0.1:{port}/_stcore/health")
    assert_harmless(browser, f"http://127.0.0.1:{port}", "The champion", NAME)
    keep_screenshot(browser, "own-texts-demo")
