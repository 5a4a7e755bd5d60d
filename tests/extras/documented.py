"""Commands of the pages of extras."""

import textwrap
from itertools import dropwhile, takewhile
from pathlib import Path


def documented(page: Path, heading: str) -> list[str]:
    """Return the lines of the first block of code after a text on a page, without its indent."""
    _, found, after = page.read_text(encoding="utf-8").partition(heading)
    assert found, heading
    lines = iter(after.splitlines())
    block = takewhile(
        lambda line: line.startswith("    ") or not line,
        dropwhile(lambda line: not line.startswith("    "), lines),
    )
    return textwrap.dedent("\n".join(line for line in block if line)).splitlines()
