"""Read labeled texts row by row from a CSV, TSV, JSON lines or Parquet file.

CSV, TSV and JSON lines files may be compressed by gzip (.gz).
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
BATCH_ROWS = 1000  # rows of a Parquet file that are in memory at once
MAX_NAMES_SHOWN = 20  # column names in a message
MAX_CHARACTERS_SHOWN = 20  # characters of a column name or a value in a message
READ_ERRORS = (EOFError, OSError, ValueError, csv.Error, zlib.error)
# how the messages of Python's csv start if a quote may be unclosed
OPEN_QUOTE = ("unexpected end of data", "field larger than field limit")


class Columns(NamedTuple):
    """The names of the columns to read."""

    text: str
    label: str
    group: str | None = None


class Source(NamedTuple):
    """A file on this machine, and its name in messages."""

    path: Path
    name: str

    @property
    def extension(self) -> str:
        """The file's extension in lower case, one of `EXTENSIONS`.

        Raises:
            UserError: the extension is not supported.
        """
        plain = self.path.with_suffix("") if self.is_compressed else self.path
        extension = plain.suffix.lower()
        if extension not in EXTENSIONS:
            raise UserError(
                f"{self.name} has an unsupported extension. Use {', '.join(EXTENSIONS)}, all but "
                ".parquet optionally followed by .gz."
            )
        return extension

    @property
    def is_compressed(self) -> bool:
        return self.path.suffix.lower() == ".gz"


# the line of each row, and its values by column or, for a malformed row, the problem
Records = Iterator[tuple[str, dict[str, Any] | Exception]]


class Row(NamedTuple):
    """A labeled text.

    Attributes:
        location: file and row, for messages.
        text: the text.
        label: the label, see `normalize_label`.
        group: the group, empty if no groups are read.
    """

    location: str
    text: str
    label: str
    group: str


class BinaryLabels:
    """The two labels in a column: a positive one, and one other that the rows define.

    Args:
        positive: the positive label.
        column: name of the column, for messages.
    """

    def __init__(self, positive: str, column: str) -> None:
        self.positive = positive
        self.column = column
        self._negative: str | None = None

    def is_positive(self, row: Row) -> bool:
        """Return whether a row has the positive label.

        Raises:
            UserError: the row has a third label.
        """
        if row.label == self.positive:
            return True
        self._negative = self._negative or row.label
        if row.label != self._negative:
            raise UserError(
                f"{row.location}: column {self.column!r} has a third label, {row.label!r}. Only "
                f"{self.positive!r} (positive) and {self._negative!r} were expected."
            )
        return False

    def check_both_present(self, labels: NDArray[np.uint8], name: str) -> None:
        """Check that rows have both labels.

        Args:
            labels: 1 = positive, 0 = negative, shape (rows,).
            name: what the rows are called in messages.

        Raises:
            UserError: there are no rows, or all have the same label.
        """
        if not len(labels):
            raise UserError(f"{name} has no row with a word in its text.")
        if len(np.unique(labels)) < 2:
            which = "all" if labels[0] else "none"
            raise UserError(
                f"{name}: {which} of the {len(labels):,} rows have the label {self.positive!r} in "
                f"column {self.column!r}, but both labels are needed."
            )


def read_labeled_rows(source: Source, columns: Columns, max_characters: int) -> Iterator[Row]:
    """Read the rows of a file.

    Args:
        source: the file.
        columns: the columns to read.
        max_characters: the longest text that is allowed.

    Raises:
        UserError: the file, or the value in a row and column, cannot be used.
    """
    names = {f"fetch.table.{key}": name for key, name in columns._asdict().items() if name}
    for row, values in read_rows(source, names, max_characters + 1):
        if isinstance(values, Exception):
            raise _unreadable(source, f"at {row}", values)
        location = f"{source.name}, {row}"
        prefix = f"{location}, column"
        text = _text(values[columns.text], f"{prefix} {columns.text!r}", max_characters)
        label = _label(values[columns.label], f"{prefix} {columns.label!r}")
        group = ""
        if columns.group is not None:
            group = _label(values[columns.group], f"{prefix} {columns.group!r}")
        yield Row(location, text, label, group)


def read_rows(source: Source, columns: Mapping[str, str], max_field_size: int) -> Records:
    """Read the rows of a file, including malformed ones.

    Args:
        source: the file.
        columns: the required columns, by the param or option that names each.
        max_field_size: characters of a field above which a quote is assumed to be unclosed.

    Returns:
        The line of each row, and its values by column or, for a malformed row, the problem.

    Raises:
        UserError: the rest of the file cannot be read.
    """
    csv.field_size_limit(max(max_field_size, csv.field_size_limit()))
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
    except READ_ERRORS as error:
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


def _text(value: Any, location: str, max_characters: int) -> str:
    if not isinstance(value, str):
        raise UserError(f"{location} is {value!r:.{MAX_CHARACTERS_SHOWN}}: a text is needed.")
    if len(value) > max_characters:
        raise UserError(
            f"{location} has {len(value):,} characters, more than fetch.table.longest "
            f"({max_characters:,}). Is a quote before it not closed?"
        )
    return value


def _label(value: Any, location: str) -> str:
    label = normalize_label(value)
    if not isinstance(label, str) or not label:
        shown = f"{value!r:.{MAX_CHARACTERS_SHOWN}}"
        raise UserError(f"{location} is {shown}: a text or a number is needed.")
    return label


def _read_csv(source: Source, columns: Mapping[str, str]) -> Records:
    """Read a header and rows that have as many fields as the header.

    Python's csv can be strict, and it counts lines. pandas and pyarrow accept stray quotes inside a
    text and report no line. pandas also pads rows that are too short.
    """
    dialect = csv.excel_tab if source.extension == ".tsv" else csv.excel
    reader = csv.reader(_lines(source), dialect, strict=True)
    header = next(filter(None, reader), [])
    _check_columns("the header", header, columns)
    while True:
        row: dict[str, Any] | Exception = {}
        lines_before = reader.line_num
        try:
            if fields := next(reader):
                row = dict(zip(header, fields, strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            # A quote that opens in one row and closes in another would hide the rows between them.
            if str(error).startswith(OPEN_QUOTE) or reader.line_num > lines_before + 1:
                raise
            row = error
        except ValueError:
            counts = f"it has {len(fields)} fields, the header {len(header)}"
            row = ValueError(f"{counts}: put texts that hold separators in double quotes")
        if row:
            yield f" (line {reader.line_num})", row


def _read_json(source: Source, columns: Mapping[str, str]) -> Records:
    """Read one JSON object a line."""
    for number, line in enumerate(_lines(source), 1):
        if line.strip():
            yield f" (line {number})", _parse_object(line, columns)


def _parse_object(line: str, columns: Mapping[str, str]) -> dict[str, Any] | ValueError:
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            return ValueError(f"it is {type(values).__name__}, not an object")
        _check_columns("it", list(values), columns)
    except json.JSONDecodeError as error:
        return ValueError(f"it is not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:
        return ValueError(first_line(error))
    return values


def _read_parquet(source: Source, columns: Mapping[str, str]) -> Records:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(source.path) as file:
            _check_columns("its schema", file.schema_arrow.names, columns)
            for batch in file.iter_batches(BATCH_ROWS, columns=[*columns.values()]):
                yield from (("", row) for row in batch.to_pylist())
    except ArrowException as error:
        raise ValueError(first_line(error)) from None


def _lines(source: Source) -> Iterator[str]:
    """Yield the lines of a file, which may be compressed, with their line ends.

    Bytes that are not UTF-8 become characters that `_is_unicode` recognizes.
    """
    with source.path.open("rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if source.is_compressed else raw
        for number, line in enumerate(file, 1):
            text = line.decode("utf-8", "surrogateescape")
            yield text.removeprefix("\ufeff") if number == 1 else text


def _check_columns(owner: str, names: list[str], columns: Mapping[str, str]) -> None:
    """Raise ValueError unless each required column is there."""
    for param, name in columns.items():
        if name not in names:
            shown = [repr(column[:MAX_CHARACTERS_SHOWN]) for column in names[:MAX_NAMES_SHOWN]]
            raise ValueError(
                f"{owner} has no column {name!r} ({param}): {', '.join(shown) or 'none'}"
            )
