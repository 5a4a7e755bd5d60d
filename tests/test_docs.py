"""The documentation says what is so."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from sentiment.params import Params, flatten
from tests.project import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown(value: object) -> str:
    """A value as params.yaml writes it; digests are shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return f"{text[:8]}…" if len(text) == 64 else text


def test_every_param_is_in_the_table_with_its_default(default_params: Params) -> None:
    page = (ROOT / "docs" / "params.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.0-9]+)` \| `([^`]+)` \|", page, re.MULTILINE))
    sections = {name: section for name, section in default_params if isinstance(section, BaseModel)}
    flat = {k: v for name, section in sections.items() for k, v in flatten(section, name).items()}
    numbers = {key: value for key, value in flat.items() if isinstance(value, float)}
    assert {key: float(rows[key]) for key in numbers} == numbers
    assert {k: v for k, v in rows.items() if k not in numbers} == {
        key: shown(value) for key, value in flat.items() if key not in numbers
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith("https://")]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_make_targets_that_the_readme_names_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", readme, re.MULTILINE))
    targets = re.findall(
        r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {"repro", "test", "ui", "check"} <= named <= set(targets)
