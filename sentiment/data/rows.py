"""Read the rows of a CSV, TSV, JSON lines or Parquet file, one after the other.

CSV, TSV and JSON lines files may be compressed by gzip (.gz). A file is either read exactly or
refused. Messages name the row. They have no part of its text, which may be private.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from unicodedata import category

from sentiment.errors import UserError, first_line
from sentiment.text.labels import normalize_label

BATCH_ROWS = 1000  # rows of a Parquet file that are in memory at once
READ_BYTES = 2**20  # of a Parquet file at once, whose row groups may be as large as the file
# Limit of a text, and of any field of CSV and TSV: a longer field usually lacks a closing quote
MAX_CHARACTERS = 1_000_000
MAX_LABEL_CHARACTERS = 100
MAX_NAMES_SHOWN = 20  # column names in a message
MAX_NAME_CHARACTERS_SHOWN = 20  # characters of a column name in a message
INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")  # Unicode's controls, formats such as U+200B, and spaces


class Columns(NamedTuple):
    """The names of the columns to read. A column without a name is not read."""

    text: str
    label: str | None = None
    id: str | None = None


class Row(NamedTuple):
    """A row.

    Attributes:
        number: number of the row, from 1.
        text: the text. Empty if it is blank.
        label: the normalized label. Empty if no labels are read.
        id: the id. None if the row has none, or no ids are read.
    """

    number: int
    text: str
    label: str = ""
    id: str | None = None


def list_tables(path: Path) -> list[Path]:
    """Return a file, or the visible files in a folder by name.

    Raises:
        UserError: there is no such file, or the folder has no visible file.
    """
    if not path.is_dir():
        return [path]
    paths = sorted(path.glob("[!.]*"))
    if not paths:
        raise UserError(f"{path} is a folder without tables. Add one, or name a file.")
    return paths


def column_names(path: Path) -> list[str]:
    """Return the names of all columns of a file, or none if it has no row.

    Raises:
        UserError: the file or a row cannot be read.
    """
    return list(next(_read_values(path, []), {}))


def read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Read the rows of a file.

    Args:
        columns: the columns to read. The file must have each of them once.

    Raises:
        ColumnError: a column is missing, or is there several times.
        UserError: there is no such file, its extension is not supported, or it cannot be read to
            its end.
    """
    names = [name for name in columns if name is not None]
    for number, values in enumerate(_read_values(path, names), 1):
        try:
            row = _parse_row(number, values, columns)
        except _InvalidRowError as error:
            raise UserError(f"{path}, {error}") from None
        yield row


def _read_values(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Read the values of each row by their columns.

    Args:
        names: columns that the file must have once. Without any, all are read.

    Raises:
        UserError: the file or a row cannot be read.
    """
    read = READERS.get(_extension(path))
    if read is None:
        raise UserError(
            f"{path} has an unsupported extension. Use {', '.join(READERS)}, all but .parquet "
            "optionally followed by .gz."
        )
    if not path.is_file():
        raise UserError(f"There is no file {path}. Correct its path.")
    number = 0
    try:
        for values in read(path, names):
            yield values
            number += 1
    except _InvalidRowError as error:
        raise UserError(f"{path}, {error}") from None
    except _WrongColumnsError as error:
        problem, name = error.args
        raise ColumnError(f"{path} has {problem}", name) from None
    except (EOFError, OSError, ValueError, zlib.error) as error:
        where = f" after row {number}" if number else ""
        message = f"{first_line(error).rstrip('.')}. Correct the file."
        raise UserError(f"{path} cannot be read{where}: {message}") from None


class ColumnError(UserError):
    """A file does not have a named column exactly once."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class _WrongColumnsError(ValueError):
    """The columns of a file, among which a name does not occur exactly once: problem and name."""


class _InvalidRowError(Exception):
    """A row that cannot be used. The message has its number, the problem, and what to do."""

    def __init__(self, problem: str, advice: str = "Correct this row, or remove it.") -> None:
        super().__init__(f"{problem}. {advice}")


class _RepeatedKeyError(ValueError):
    """A JSON object has the same key twice."""


def _parse_row(number: int, values: dict[str, Any], columns: Columns) -> Row:
    """Return a row with its label and its id as texts.

    Raises:
        _InvalidRowError: the text, the label or the id cannot be used.
    """
    where = f"row {number}: column"
    text = values.get(columns.text)
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise _InvalidRowError(f"{where} {columns.text!r} has a value that is not a text")
    if len(text) > MAX_CHARACTERS:
        raise _InvalidRowError(
            f"{where} {columns.text!r}: the text has {len(text):,} characters, more than "
            f"{MAX_CHARACTERS:,}"
        )
    is_blank = all(category(character) in INVISIBLE for character in text)
    label = normalize_label(values.get(columns.label)) if columns.label else ""
    if not isinstance(label, str) or (columns.label and not label):
        raise _InvalidRowError(f"{where} {columns.label!r}: a text or a number is needed")
    if len(label) > MAX_LABEL_CHARACTERS or len(label.splitlines()) > 1:
        raise _InvalidRowError(
            f"{where} {columns.label!r}: a label has at most {MAX_LABEL_CHARACTERS} characters, "
            "and no line break"
        )
    row_id = values.get(columns.id) if columns.id else None
    if row_id is not None:
        row_id = str(row_id)
    try:
        f"{text}{label}{row_id}".encode()
    except UnicodeEncodeError:
        raise _InvalidRowError(
            f"row {number}: it is not UTF-8",
            "Convert the file. From Latin-1: iconv -f latin1 -t utf-8 old.csv > new.csv",
        ) from None
    return Row(number, "" if is_blank else text, label, row_id)


def _read_csv(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(MAX_CHARACTERS)
    with _open(path) as file:
        dialect = csv.excel_tab if _extension(path) == ".tsv" else csv.excel
        reader = csv.reader(file, dialect, strict=True)
        rows = filter(None, reader)  # skips empty lines
        number = 0
        try:
            header = next(rows, [])
            _check_names(header, names)
            for number, fields in enumerate(rows, 1):
                if len(fields) != len(header):
                    raise _InvalidRowError(
                        f"row {number} (line {reader.line_num}): the header has "
                        f"{len(header)} fields, but this row has {len(fields)}"
                    )
                yield dict(zip(header, fields, strict=True))
        except csv.Error as error:
            problem = f"{error}; perhaps a quote is not closed"
            raise _InvalidRowError(f"row {number + 1}: {problem}") from None


def _read_json_lines(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    with _open(path) as file:
        for number, line in enumerate(filter(str.strip, file), 1):
            try:
                values = json.loads(line, object_pairs_hook=_unique)
            except _RepeatedKeyError as error:
                raise _InvalidRowError(f"row {number}: {error}") from None
            except (ValueError, RecursionError):
                values = None
            if not isinstance(values, dict):
                raise _InvalidRowError(f"row {number}: the line is not a JSON object")
            if number == 1:
                _check_names(list(values), names)
            yield values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _RepeatedKeyError("an object has the same key twice")
    return values


def _read_parquet(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowException, parquet

    try:
        with (
            path.open("rb") as opened,
            parquet.ParquetFile(opened, buffer_size=READ_BYTES, pre_buffer=False) as file,
        ):
            _check_names(file.schema_arrow.names, names)
            for batch in file.iter_batches(BATCH_ROWS, columns=list(names) or None):
                yield from batch.to_pylist()
    except (ArrowException, UnicodeError) as error:
        raise ValueError(first_line(error)) from None


READERS: dict[str, Callable[[Path, Sequence[str]], Iterator[dict[str, Any]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}


def _extension(path: Path) -> str:
    """Return `.csv` for both `a.csv` and `a.CSV.gz`."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _open(path: Path) -> TextIO:
    """Open a text file, which may be compressed. Bytes that are not UTF-8 become surrogates."""
    open_file = gzip.open if path.suffix.lower() == ".gz" else open
    return open_file(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")


def _check_names(found: Sequence[str], names: Sequence[str]) -> None:
    """Check that each named column occurs exactly once.

    Raises:
        ValueError: the file looks like another encoding.
        _WrongColumnsError: a column is missing, or is there several times.
    """
    if any("\0" in column for column in found):
        raise ValueError("it looks like UTF-16, but must be UTF-8")
    for name in names:
        count = list(found).count(name)
        if count != 1:
            problem = f"{count} columns" if count else "no column"
            shown = [repr(column[:MAX_NAME_CHARACTERS_SHOWN]) for column in found[:MAX_NAMES_SHOWN]]
            listed = ", ".join(shown) or "none"
            raise _WrongColumnsError(f"{problem} {name!r}. Its columns: {listed}", name)
