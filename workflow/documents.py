"""Write and read the JSON files and tables of the stages."""

import csv
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sentiment.errors import UserError, first_line
from workflow.paths import METRICS_FOLDER

if TYPE_CHECKING:
    import pandas as pd  # takes a second, for which `--help` of an extra should not wait

FORMULA_START = re.compile(r"^(?=[\W_])")  # a spreadsheet may take such a text for a formula


def new_folder(folder: Path) -> Path:
    """Make an empty folder in place of an earlier one, if there is one, and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_json(path: Path, document: Any) -> None:
    """Write a document as readable JSON.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot represent.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a stage.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise missing_error(path) from None
    except ValueError as error:
        raise damaged_error(path, error) from None


def write_compared_metrics(stage: str, metrics: Mapping[str, float], names: Sequence[str]) -> None:
    """Write `metrics/<stage>.json`, which `dvc metrics` shows."""
    METRICS_FOLDER.mkdir(exist_ok=True)
    write_json(METRICS_FOLDER / f"{stage}.json", {name: metrics[name] for name in names})


def guard_formulas(texts: Iterable[str]) -> list[str]:
    """Put a space, which tokenizers ignore, before texts that may look like a formula."""
    return [FORMULA_START.sub(" ", text) for text in texts]


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV. A column `text` has no formulas, see `guard_formulas`."""
    # With texts, all are quoted: pandas writes a carriage return unquoted, and reads it as an end.
    quoting: Literal[0, 2] = csv.QUOTE_MINIMAL
    if "text" in table:
        table = table.assign(text=guard_formulas(table["text"]))
        quoting = csv.QUOTE_NONNUMERIC
    table.to_csv(path, index=False, quoting=quoting)


def read_table(path: Path) -> "pd.DataFrame":
    """Read a table of a stage.

    Raises:
        UserError: the file is missing or damaged.
    """
    import pandas as pd

    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise missing_error(path) from None
    except ValueError as error:
        raise damaged_error(path, error) from None


def missing_error(path: Path) -> UserError:
    """Return the error for a stage's file that does not exist."""
    return UserError(f"{path} is missing. `dvc repro` makes it, or takes it from DVC's cache.")


def damaged_error(path: Path, error: Exception) -> UserError:
    """Return the error for a stage's file that cannot be read."""
    return UserError(
        f"{path} is damaged ({first_line(error)}). Delete {path.parent} and run `dvc repro`."
    )
