"""What the documentation says is so."""

import ast
import errno
import os
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import files as installed
from pathlib import Path

import pandas as pd

from tests.project import ROOT
from tests.test_size import tracked

TRACKED = tracked()
PAGES = [path for path in TRACKED if path.suffix == ".md"]
SOURCES = ("stages", "extras", "sentiment", "tools", "workflow")
CODE = tracked(*(f"{name}/*.py" for name in SOURCES))
FOLDERS = {path.relative_to(ROOT).parts[0] for path in TRACKED} - {"data", ".dvc"}  # not in git
LOCKS = ("rwlock.py", "strictyaml.py")  # modules of DVC with messages that pages quote
OF_OTHERS = ("CHANGELOG.md", "upgrading.md")  # they name what was, or may be removed
CUT = "…"  # in a quoted message: something that differs
BEST = (
    "5 seeds · bi-lstm-64 · segments 50 · max+mean · cooccurrence · bigrams 32 · word dropout 0.3"
    " · adversarial 5 · cosine · average 0.998 · len 400"
)
MODELS = {  # rows of the README's results, as the generated table calls them
    "notebook": "5 seeds · lstm-64 · len 200",
    "best": BEST,
    "linear: TF-IDF": "linear tfidf",
    "linear: the same with naive-Bayes weights": "linear naive bayes",
    "ensemble": f"{BEST}, ensemble, and linear naive bayes",
}


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def messages(source: str) -> Iterator[str]:
    """All texts in the code but docstrings, `CUT` for each placeholder."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else CUT for v in node.values)
            yield "".join(map(str, parts))


def quoted() -> list[str]:
    """The messages in the first column of the page's first table."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    first, _ = page.split("## Without a message")
    return re.findall(r"^\| `([^`]+)` \|", first, re.MULTILINE)


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
    pages = [page.read_text(encoding="utf-8") for page in PAGES if page.name not in OF_OTHERS]
    return {name for page in pages for name in re.findall(pattern, page, re.MULTILINE)}


def test_paths_that_a_page_names_exist() -> None:
    paths = [path for path in named(r"`([\w.-]+/[\w./-]*)`") if path.split("/")[0] in FOLDERS]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_make_targets_that_a_page_names_exist() -> None:
    makefiles = [ROOT / "Makefile", *ROOT.glob("extras/*/targets.mk")]
    texts = [path.read_text(encoding="utf-8") for path in makefiles]
    targets = set(re.findall(r"^([a-z]+):", "\n".join(texts), re.MULTILINE))
    assert {"repro", "sync"} < named(r"(?:^ {4}|`)make ([a-z]+)") <= targets


def test_the_readme_names_the_usual_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"repro", "test", "ui", "check"} <= set(re.findall(r"make ([a-z]+)", readme))


def rows(name: str) -> dict[str, list[str]]:
    """The other cells of each row of a page's tables, by the first cell."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {first: others for first, *others in cells if others}


def statements() -> Iterator[str]:
    """Patterns of what the README says about measurements, with the numbers of generated files."""
    generated = rows("benchmarks/accuracy-xeon.md")
    for label, model in MODELS.items():
        accuracy, interval, *_, minutes, _, _ = generated[model]
        yield rf"\| {label}[^|]*\| {accuracy} \| {interval} \| {minutes} min \|"
    median = pd.read_csv(ROOT / "benchmarks" / "results.csv").groupby("series")["value"].median()
    yield f"pipeline itself took {median['repro']:.0f} s"
    yield (
        f"default took {median['epoch, ours']:.1f} s, where the usual Keras notebook took "
        f"{median['epoch, notebook']:.1f} s and PyTorch {median['epoch, PyTorch']:.1f} s"
    )


def test_the_readme_has_no_measured_number_but_those_of_generated_files() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for statement in statements():
        readme, count = re.subn(statement, "", readme)
        assert count == 1, statement
    measured = r"\b0\.\d{2,}|\b[\d.]+ (?:s|ms|min|minutes?|hours?|points?|[KMG]i?B)\b"
    assert re.findall(measured, readme) == []


def test_accuracies_and_intervals_in_the_docs_are_those_of_generated_tables() -> None:
    tables = [
        rows(f"benchmarks/{name}.md")
        for name in ("accuracy", "accuracy-transformer", "accuracy-xeon")
    ]
    generated = {tuple(row[:2]) for table in tables for row in table.values()}
    page = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    shown = re.findall(r"\| (0\.\d+)[^|]*\| (0\.\d+ to 0\.\d+) \|", page)
    assert len(shown) == 7
    assert set(shown) <= generated


def test_the_changelog_s_newest_version_is_the_project_s() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert re.findall(r"^## \[(\d.+)\]", changelog, re.MULTILINE)[0] == project["version"]


def test_quoted_messages_are_printed_by_the_code_by_dvc_s_locks_or_of_a_full_disk() -> None:
    locks = [Path(str(path.locate())) for path in installed("dvc") or [] if path.name in LOCKS]
    sources = (path.read_text(encoding="utf-8") for path in [*CODE, *locks])
    printed = [text for source in sources for text in messages(source)]
    lines = [" ".join(text.split()) for text in [*printed, os.strerror(errno.ENOSPC)]]
    quotes = [message.strip(f"{CUT} ") for message in quoted()]
    assert len(quotes) > 10
    assert [quote for quote in quotes if not any(quote in line for line in lines)] == []


def words(page: Path) -> int:
    return len(page.read_text(encoding="utf-8").split())


def test_pages_are_short() -> None:
    pages = [page for page in ROOT.glob("docs/*.md") if page.name != "params.md"]  # is generated
    readme = words(ROOT / "README.md")
    assert readme <= 900
    assert readme + sum(map(words, pages)) <= 12_500
    assert words(ROOT / "docs" / "security.md") <= 600
