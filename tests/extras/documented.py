"""Commands as a page has them."""

from itertools import dropwhile, takewhile
from pathlib import Path

from tests.project import ROOT


def documented(heading: str, page: Path = ROOT / "docs" / "team.md") -> list[str]:
    """The commands of the first block of code after a text in docs/team.md."""
    after = page.read_text(encoding="utf-8").partition(heading)[2]
    lines = iter(after.splitlines())
    block = takewhile(
        lambda line: line.startswith("    ") or not line,
        dropwhile(lambda line: not line.startswith("    "), lines),
    )
    return [line.strip() for line in block if line]
