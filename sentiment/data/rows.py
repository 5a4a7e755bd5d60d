"""Labelled texts from a file: CSV, TSV, JSON lines or Parquet, read row by row.

CSV, TSV and JSON lines may be compressed by gzip (.gz).
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.data.params import normalize_label
from sentiment.errors import UserError, first_line

EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
BATCH_ROWS = 1000  # of a Parquet file, in memory at once
MAX_NAMES_SHOWN = 20  # columns that a message names, each by as many characters at most
UNREADABLE = (EOFError, OSError, ValueError, csv.Error, zlib.error)
OPEN_QUOTE = ("unexpected end of data", "field larger than field limit")  # of Python's csv


class Columns(NamedTuple):
    text: str
    label: str
    group: str | None = None


class Source(NamedTuple):
    """A file on this machine, and what messages call it."""

    path: Path
    name: str

    @property
    def extension(self) -> str:
        """The one of `KINDS` that its name ends in; UserError if that is none."""
        plain = self.path.with_suffix("") if self.is_compressed else self.path
        if plain.suffix.lower() not in EXTENSIONS:
            raise UserError(
                f"{self.name} ends in none of {', '.join(EXTENSIONS)}, nor these with .gz."
            )
        return plain.suffix.lower()

    @property
    def is_compressed(self) -> bool:
        return self.path.suffix.lower() == ".gz"


# the line of each row, and its values by column or, of a malformed one, what is wrong with it
Records = Iterator[tuple[str, dict[str, Any] | Exception]]


class Row(NamedTuple):
    """A row: its place for messages, its text, its label as `label_text` writes it, its group.

    The group is empty where none is read.
    """

    location: str
    text: str
    label: str
    group: str


class BinaryLabels:
    """The two labels of a file, in a column; one is positive."""

    def __init__(self, positive: str, column: str) -> None:
        self.positive = positive
        self.column = column
        self._other: str | None = None

    def is_positive(self, row: Row) -> bool:
        """Whether a row's label is the positive one; UserError if it is a third one."""
        if row.label == self.positive:
            return True
        self._other = self._other or row.label
        if row.label != self._other:
            raise UserError(
                f"{row.location}, column {self.column!r} is {row.label!r}, a third label beside "
                f"{self.positive!r}, which is positive, and {self._other!r}."
            )
        return False

    def check_both_present(self, labels: NDArray[np.uint8], where: str) -> None:
        """Raise UserError unless there are rows, 1 = positive, of both labels."""
        if not len(labels):
            raise UserError(f"{where} has no row with a word in its text.")
        if len(np.unique(labels)) < 2:
            which = "all" if labels[0] else "none"
            raise UserError(
                f"{where}: {which} of the {len(labels):,} rows have the label {self.positive!r} in "
                f"column {self.column!r}, and both labels are needed."
            )


def read_labelled_rows(source: Source, columns: Columns, max_characters: int) -> Iterator[Row]:
    """Read the rows of a file, whose texts have at most `max_characters` characters.

    A UserError says what is wrong with the file, or with which row and column.
    """
    names = {f"fetch.table.{kind}": name for kind, name in columns._asdict().items() if name}
    for row, values in read_rows(source, names, max_characters + 1):
        if isinstance(values, Exception):
            raise _unreadable(source, f"at {row}", values)
        place = f"{source.name}, {row}, column"
        text = _text(values[columns.text], f"{place} {columns.text!r}", max_characters)
        label = _label(values[columns.label], f"{place} {columns.label!r}")
        by = columns.group
        group = "" if by is None else _label(values[by], f"{place} {by!r}")
        yield Row(f"{source.name}, {row}", text, label, group)


def read_rows(source: Source, columns: Mapping[str, str], limit: int) -> Records:
    """Read the rows of a file, malformed ones included; the place of each, and its values.

    `columns` are needed, by what sets them. A field of more characters than `limit` is taken for a
    quote that is not closed. Where what is left of the file cannot be read, a UserError is raised.
    """
    csv.field_size_limit(max(limit, csv.field_size_limit()))
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}
    where = "from its beginning"
    try:
        rows = readers.get(source.extension, _read_json)(source, columns)
        for number, (line, values) in enumerate(rows, 1):
            row = f"row {number}{line}"
            if isinstance(values, dict) and not _is_unicode(values):
                values = ValueError("it is not UTF-8")
            yield row, values
            where = f"after {row}"
    except UNREADABLE as error:
        raise _unreadable(source, where, error) from None


def _unreadable(source: Source, where: str, error: Exception) -> UserError:
    hint = ". Is a quote not closed?" if isinstance(error, csv.Error) else ""
    return UserError(f"{source.name} cannot be read {where}: {first_line(error)}{hint}")


def _is_unicode(values: Mapping[str, Any]) -> bool:
    try:
        "".join(value for value in values.values() if isinstance(value, str)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Any, place: str, max_characters: int) -> str:
    if not isinstance(value, str):
        raise UserError(f"{place} is {value!r:.{MAX_NAMES_SHOWN}}: a text is needed.")
    if len(value) > max_characters:
        raise UserError(
            f"{place} has {len(value):,} characters, more than fetch.table.longest "
            f"({max_characters:,}). Is a quote before it not closed?"
        )
    return value


def _label(value: Any, place: str) -> str:
    label = normalize_label(value)
    if not isinstance(label, str) or not label:
        raise UserError(f"{place} is {value!r:.{MAX_NAMES_SHOWN}}: a text or a number is needed.")
    return label


def _read_csv(source: Source, columns: Mapping[str, str]) -> Records:
    """A header, then rows of as many fields.

    Python's csv can be strict, and it counts lines. pandas and pyarrow accept stray quotes inside
    a text and report no line; pandas also pads rows that are too short.
    """
    dialect = csv.excel_tab if source.extension == ".tsv" else csv.excel
    reader = csv.reader(_lines(source), dialect, strict=True)
    header = next(filter(None, reader), [])
    _require_columns("the header", header, columns)
    while True:
        row: dict[str, Any] | Exception = {}
        before = reader.line_num
        try:
            if fields := next(reader):
                row = dict(zip(header, fields, strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            # a quote that opens in one row and closes in another would hide those between
            if str(error).startswith(OPEN_QUOTE) or reader.line_num > before + 1:
                raise
            row = error
        except ValueError:
            counts = f"it has {len(fields)} fields, the header {len(header)}"
            row = ValueError(f"{counts}: put texts that hold separators in double quotes")
        if row:
            yield f" (line {reader.line_num})", row


def _read_json(source: Source, columns: Mapping[str, str]) -> Records:
    """An object a line."""
    for number, line in enumerate(_lines(source), 1):
        if line.strip():
            yield f" (line {number})", _object(line, columns)


def _object(line: str, columns: Mapping[str, str]) -> dict[str, Any] | ValueError:
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            return ValueError(f"it is {type(values).__name__}, not an object")
        _require_columns("it", list(values), columns)
    except json.JSONDecodeError as error:
        return ValueError(f"it is not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:
        return ValueError(first_line(error))
    return values


def _read_parquet(source: Source, columns: Mapping[str, str]) -> Records:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(source.path) as file:
            _require_columns("its schema", file.schema_arrow.names, columns)
            for batch in file.iter_batches(BATCH_ROWS, columns=[*columns.values()]):
                yield from (("", row) for row in batch.to_pylist())
    except ArrowException as error:
        raise ValueError(first_line(error)) from None


def _lines(source: Source) -> Iterator[str]:
    """The lines of a file in UTF-8, which may be compressed, with their ends.

    Bytes that are none become what `_is_unicode` recognizes.
    """
    with source.path.open("rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if source.is_compressed else raw
        for number, line in enumerate(file, 1):
            text = line.decode("utf-8", "surrogateescape")
            yield text.removeprefix("\ufeff") if number == 1 else text


def _require_columns(place: str, names: list[str], columns: Mapping[str, str]) -> None:
    """Raise ValueError unless each column that is needed is there."""
    for setting, name in columns.items():
        if name not in names:
            shown = (
                ", ".join(repr(column[:MAX_NAMES_SHOWN]) for column in names[:MAX_NAMES_SHOWN])
                or "none"
            )
            raise ValueError(f"{place} has no column {name!r} ({setting}): {shown}")
