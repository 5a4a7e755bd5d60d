"""The documentation agrees with the project: links, commands and targets."""

import re
from pathlib import Path

import click
import pytest

from sentiment import cli
from tests.small_project import ROOT

# The changelog names what is gone.
FOLDERS = (ROOT, ROOT / "docs", *ROOT.glob("benchmarks/**/"), *ROOT.glob("sentiment/*/"))
PAGES = [page for folder in FOLDERS for page in folder.glob("*.md") if page.stem != "CHANGELOG"]

README = (ROOT / "README.md").read_text(encoding="utf-8")
# Pages may link to an optional command that was deleted, and name it.
DELETED = {
    name
    for name in re.findall(r"sentiment/(\w+)/", README)
    if not (ROOT / "sentiment" / name).is_dir()
}


def heading_anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://") or any(f"sentiment/{name}/" in link for name in DELETED):
            continue
        path, _, anchor = link.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (anchor and anchor not in heading_anchors(linked)):
            dead.append(link)
    assert dead == []


def commands(page: Path, program: str) -> set[str]:
    """Return the words after a program's name, in code blocks and in code."""
    text = page.read_text(encoding="utf-8")
    return set(
        re.findall(rf"(?:^ {{4}}(?:\$ )?|`|&& ){program} ([a-z][a-z-]*)", text, re.MULTILINE)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_targets_on_a_page_exist(page: Path) -> None:
    known = {*cli.main.list_commands(click.Context(cli.main)), *DELETED}
    assert commands(page, "sentiment") <= known
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert commands(page, "make") <= targets
