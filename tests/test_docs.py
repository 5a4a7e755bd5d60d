"""The documentation agrees with the code, the commands and the measured tables."""

import errno
import os
import re
import subprocess
import tomllib
from importlib.metadata import files as installed_files
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

from tests.project import ROOT


def tracked_files(*patterns: str) -> list[Path]:
    """Return the files that git tracks, or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


TRACKED = tracked_files()
PAGES = [path for path in TRACKED if path.suffix == ".md"]
CODE_FOLDERS = ("stages", "extras", "sentiment", "tools", "workflow")
CODE = tracked_files(*(f"{name}/*.py" for name in CODE_FOLDERS))
# git does not have the outputs in `data/` and `.dvc/`.
FOLDERS = {path.relative_to(ROOT).parts[0] for path in TRACKED} - {"data", ".dvc"}
DVC_MODULES = ("rwlock.py", "strictyaml.py")  # their messages are quoted


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def heading_anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    """Return the links of a page to files or headings of the project that do not exist."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (anchor and anchor not in heading_anchors(linked)):
            dead.append(link)
    return dead


def find_in_pages(pattern: str) -> set[str]:
    """Return what matches a pattern in all pages but the changelog, which names removed things."""
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    return {match for page in pages for match in re.findall(pattern, read(page), re.MULTILINE)}


def make_targets(root: Path) -> set[str]:
    """Return the targets that `make` alone lists."""
    listed = subprocess.run(["make"], cwd=root, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  make ([\w-]+)", listed, re.MULTILINE))


def table_rows(path: Path) -> dict[str, list[str]]:
    """Return the other cells of each row of a page's tables, by the first cell."""
    lines = read(path).splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {first: others for first, *others in cells if others}


def measured_accuracies(*names: str) -> dict[str, list[str]]:
    """Return the rows of tables that `benchmarks.accuracy` wrote."""
    rows: dict[str, list[str]] = {}
    for name in names:
        rows |= table_rows(ROOT / "benchmarks" / f"{name}.md")
    return rows


def test_links_lead_to_existing_files_and_headings() -> None:
    dead = {str(page.relative_to(ROOT)): dead_links(page) for page in PAGES}
    assert {page: links for page, links in dead.items() if links} == {}


def test_named_paths_exist() -> None:
    names = find_in_pages(r"`([\w.-]+/[\w./-]*)`")
    paths = [name for name in names if name.split("/")[0] in FOLDERS]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_named_make_targets_exist() -> None:
    named = find_in_pages(r"(?:^ {4}|`)make ([a-z-]+)")
    assert {"repro", "sync"} < named <= make_targets(ROOT)


def test_project_layout_in_readme_names_existing_paths() -> None:
    _, _, section = read(ROOT / "README.md").partition("## Project layout")
    names = re.findall(r"^ {4}(\S+) {2,}\S", section, re.MULTILINE)
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_changelog_package_and_citation_have_the_same_version_and_date() -> None:
    release = re.search(r"^## \[([\d.]+)\] - ([\d-]+)$", read(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert release
    version, date = release.groups()
    package = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert package["version"] == citation["version"] == version
    assert str(citation["date-released"]) == date


def test_measured_numbers_in_readme_are_those_of_generated_files() -> None:
    page = read(ROOT / "README.md")
    without_code = re.sub(r"^ {4}.*$", "", page, flags=re.MULTILINE)  # examples of output
    text = " ".join(without_code.split())
    result = r"\| (0\.\d+) \| (0\.\d+ to 0\.\d+) \| ([\d.]+) min \|"
    table = measured_accuracies("accuracy", "accuracy-xeon")
    shown = set(re.findall(result, text))
    assert len(shown) == 3
    assert shown <= {(*row[:2], *row[5:6]) for row in table.values()}
    median = pd.read_csv(ROOT / "benchmarks" / "results.csv").groupby("series")["value"].median()
    epochs = [f"{median[f'epoch, {whose}']:.1f} s" for whose in ("ours", "notebook", "PyTorch")]
    measured = r"\b0\.\d{2,}|\b[\d.]+ (?:s|ms|min|minutes?|hours?|points?|[KMG]i?B)\b"
    published = re.compile(r"\b0\.\d{4}\b")
    text = re.sub(result, "", text)
    _, _, section = read(ROOT / "docs" / "models.md").partition("### What others reached")
    assert set(published.findall(text)) <= set(published.findall(section.partition("###")[0]))
    others = re.findall(measured, published.sub("", text))
    assert others == [f"{median['repro']:.0f} s", *epochs]


def test_accuracies_and_intervals_in_docs_are_those_of_generated_tables() -> None:
    names = ("accuracy", "accuracy-transformer", "accuracy-xeon")
    tables = [measured_accuracies(name) for name in names]
    generated = {tuple(row[:2]) for table in tables for row in table.values()}
    page = read(ROOT / "docs" / "models.md")
    shown = re.findall(r"\| (0\.\d+)[^|]*\| (0\.\d+ to 0\.\d+) \|", page)
    assert len(shown) == 4
    assert set(shown) <= generated


def test_quoted_messages_are_printed_by_the_code_or_dvc_or_the_system() -> None:
    dvc_modules = [
        Path(str(path.locate()))
        for path in installed_files("dvc") or []
        if path.name in DVC_MODULES
    ]
    # Join string literals that continue on the next line.
    sources = [re.sub(r'"\s*\n\s*f?"', "", read(path)) for path in [*CODE, *dvc_modules]]
    printed = " ".join([*" ".join(sources).split(), os.strerror(errno.ENOSPC)])
    page = read(ROOT / "docs" / "troubleshooting.md")
    messages, _, _ = page.partition("## Without a message")
    quotes = re.findall(r"^\| `([^`]+)` \|", messages, re.MULTILINE)
    assert len(quotes) > 10
    # `…` stands for what differs from case to case.
    parts = [part.strip() for quote in quotes for part in quote.split("…")]
    assert [part for part in parts if part not in printed] == []
