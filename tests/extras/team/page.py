"""The commands of extras/team/README.md."""

import re
import subprocess
import textwrap
from collections.abc import Mapping
from itertools import dropwhile, takewhile
from pathlib import Path

from tests.project import ROOT

PAGE = ROOT / "extras" / "team" / "README.md"
# The commands of the tests' environment would run the code of this project, not that of its copy.
PRELUDE = 'sentiment() { python -m cli "$@"; }'


def block(text: str) -> list[str]:
    """Return the lines of the first block of code after a text, without its indent."""
    _, found, after = PAGE.read_text(encoding="utf-8").partition(text)
    assert found, text
    from_code = dropwhile(lambda line: not line.startswith("    "), after.splitlines())
    code = takewhile(lambda line: line.startswith("    ") or not line, from_code)
    return textwrap.dedent("\n".join(code)).strip().splitlines()


def commands(text: str) -> str:
    """Return the commands of the first block after a text, without those that set variables."""
    return "\n".join(line for line in block(text) if not line.startswith("export "))


def variables(text: str) -> set[str]:
    """Return the names of the variables that the first block after a text sets."""
    exports = [line.partition("#")[0] for line in block(text) if line.startswith("export ")]
    return set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", "\n".join(exports)))


def run(text: str, folder: Path, environment: Mapping[str, str], typed: str = "") -> str:
    """Run the commands of the first block after a text, and return what they printed.

    Args:
        text: where the block is.
        folder: the working directory.
        environment: has the variables that the page sets. If it has `MLFLOW_PORT`, the server has
            this port in place of the page's.
        typed: what the user types.
    """
    port = environment.get("MLFLOW_PORT", "5000")
    script = commands(text).replace("127.0.0.1:5000", f"127.0.0.1:{port}")
    done = subprocess.run(
        ["bash", "-ec", f"{PRELUDE}\n{script}"],
        cwd=folder,
        env=environment,
        input=typed,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        start_new_session=True,  # without a terminal, passwords are read from the input
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}"
    return done.stdout
