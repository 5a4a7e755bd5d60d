"""What the documentation says is so."""

import errno
import os
import re
import subprocess
from importlib.metadata import files as installed
from pathlib import Path

import pandas as pd

from tests.project import ROOT


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git tracks, or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


TRACKED = tracked()
PAGES = [path for path in TRACKED if path.suffix == ".md"]
SOURCES = ("stages", "extras", "sentiment", "tools", "workflow")
CODE = tracked(*(f"{name}/*.py" for name in SOURCES))
FOLDERS = {path.relative_to(ROOT).parts[0] for path in TRACKED} - {"data", ".dvc"}  # not in git
LOCKS = ("rwlock.py", "strictyaml.py")  # modules of DVC with messages that pages quote


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    """The links of a page to places in the project that are not there."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    dead = []
    for target in targets:
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        if not target.startswith("https://") and not (
            place.exists() and (not anchor or anchor in headings(place))
        ):
            dead.append(target)
    return dead


def test_links_within_the_project_lead_somewhere() -> None:
    assert {page.name: dead_links(page) for page in PAGES if dead_links(page)} == {}


def named(pattern: str) -> set[str]:
    """What the pages name of this version."""
    # the changelog also names what was removed
    pages = [page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md"]
    return {name for page in pages for name in re.findall(pattern, page, re.MULTILINE)}


def test_paths_that_a_page_names_exist() -> None:
    paths = [path for path in named(r"`([\w.-]+/[\w./-]*)`") if path.split("/")[0] in FOLDERS]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def targets(root: Path) -> set[str]:
    """The targets that `make` alone lists."""
    listed = subprocess.run(["make"], cwd=root, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  make ([\w-]+)", listed, re.MULTILINE))


def test_make_alone_lists_the_targets_that_a_page_names() -> None:
    assert {"repro", "sync"} < named(r"(?:^ {4}|`)make ([a-z-]+)") <= targets(ROOT)


def rows(name: str) -> dict[str, list[str]]:
    """The other cells of each row of a page's tables, by the first cell."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {first: others for first, *others in cells if others}


def test_the_readme_has_no_measured_number_but_those_of_generated_files() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    result = r"\| (0\.\d+) \| (0\.\d+ to 0\.\d+) \| ([\d.]+) min \|"
    table = rows("benchmarks/accuracy-xeon.md") | rows("benchmarks/accuracy-wide.md")
    assert set(re.findall(result, readme)) <= {(*row[:2], *row[5:6]) for row in table.values()}
    median = pd.read_csv(ROOT / "benchmarks" / "results.csv").groupby("series")["value"].median()
    epochs = [f"{median[f'epoch, {whose}']:.1f} s" for whose in ("ours", "notebook", "PyTorch")]
    measured = r"\b0\.\d{2,}|\b[\d.]+ (?:s|ms|min|minutes?|hours?|points?|[KMG]i?B)\b"
    others = re.findall(measured, re.sub(result, "", readme))
    assert others == [f"{median['repro']:.0f} s", *epochs]


def test_accuracies_and_intervals_in_the_docs_are_those_of_generated_tables() -> None:
    tables = [
        rows(f"benchmarks/{name}.md")
        for name in ("accuracy", "accuracy-transformer", "accuracy-wide", "accuracy-xeon")
    ]
    generated = {tuple(row[:2]) for table in tables for row in table.values()}
    page = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    shown = re.findall(r"\| (0\.\d+)[^|]*\| (0\.\d+ to 0\.\d+) \|", page)
    assert len(shown) == 7
    assert set(shown) <= generated


def test_quoted_messages_are_printed_by_the_code_by_dvc_s_locks_or_of_a_full_disk() -> None:
    locks = [Path(str(path.locate())) for path in installed("dvc") or [] if path.name in LOCKS]
    sources = (path.read_text(encoding="utf-8") for path in [*CODE, *locks])
    joined = (re.sub(r'"\s*\n\s*f?"', "", source) for source in sources)
    printed = " ".join([*" ".join(joined).split(), os.strerror(errno.ENOSPC)])
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    first, _ = page.split("## Without a message")
    quotes = re.findall(r"^\| `([^`]+)` \|", first, re.MULTILINE)
    parts = [part.strip() for quote in quotes for part in quote.split("…")]  # for what differs
    assert len(quotes) > 10
    assert [part for part in parts if part not in printed] == []
