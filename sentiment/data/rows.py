"""Labelled texts from a file: CSV, TSV, JSON lines or Parquet, read row by row.

CSV, TSV and JSON lines may be compressed (.gz, .bz2, .xz).
"""

import csv
import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.data.dataset import label_text
from sentiment.errors import UserError, first_line

KINDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
COMPRESSED = {".gz", ".bz2", ".xz"}
ROWS_AT_ONCE, BYTES_AT_ONCE = 1000, 2**20  # of a Parquet file
ESCAPED = 12  # bytes of a character in JSON lines, at most: "\\ud83d\\ude00"
NAMED = 20  # columns that a message names, each by as many characters at most
UNREADABLE = (EOFError, OSError, ValueError, csv.Error, lzma.LZMAError, zlib.error)


class Columns(NamedTuple):
    text: str
    label: str
    group: str | None = None


class Source(NamedTuple):
    """A file on this machine, and what messages call it."""

    path: Path
    name: str

    @property
    def kind(self) -> str:
        """The one of `KINDS` that its name ends in; UserError if that is none."""
        is_compressed = self.path.suffix.lower() in COMPRESSED
        plain = self.path.with_suffix("") if is_compressed else self.path
        if plain.suffix.lower() not in KINDS:
            raise UserError(f"{self.name} ends in none of {', '.join(KINDS)}.")
        return plain.suffix.lower()


Records = Iterator[tuple[str, dict[str, Any]]]  # the line of each row, and its values by column


class Row(NamedTuple):
    """A row: its place for messages, its text, its label as `label_text` writes it, its group.

    The group is empty where none is read.
    """

    place: str
    text: str
    label: str
    group: str


class Labels:
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
                f"{row.place}, column {self.column!r} is {row.label!r}, a third label beside "
                f"{self.positive!r}, which is positive, and {self._other!r}."
            )
        return False

    def require_both(self, labels: NDArray[np.uint8], where: str) -> None:
        """Raise UserError unless there are rows, 1 = positive, of both labels."""
        if not len(labels):
            raise UserError(f"{where} has no row with a word in its text.")
        if len(np.unique(labels)) < 2:
            which = "all" if labels[0] else "none"
            raise UserError(
                f"{where}: {which} of the {len(labels):,} rows have the label {self.positive!r} in "
                f"column {self.column!r}, and both labels are needed."
            )


def read(source: Source, columns: Columns, longest: int) -> Iterator[Row]:
    """Read the rows of a file, whose texts have at most `longest` characters.

    Raises:
        UserError: it is of another kind or damaged, or a row is not as it has to be; the message
            says which row and column.
    """
    csv.field_size_limit(max(longest + 1, csv.field_size_limit()))
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}
    records = readers.get(source.kind, _read_json)(
        source, columns, ESCAPED * longest + BYTES_AT_ONCE
    )
    where = "from its beginning"
    try:
        for number, (line, values) in enumerate(records, 1):
            row = f"row {number}{line}"
            place = f"{source.name}, {row}, column"
            text = _text(values[columns.text], f"{place} {columns.text!r}", longest)
            label = _label(values[columns.label], f"{place} {columns.label!r}")
            group = ""
            if columns.group is not None:
                group = _label(values[columns.group], f"{place} {columns.group!r}")
            yield Row(f"{source.name}, {row}", text, label, group)
            where = f"after {row}"
    except UNREADABLE as error:
        hint = ". Is a quote not closed?" if isinstance(error, csv.Error) else ""
        raise UserError(
            f"{source.name} cannot be read {where}: {first_line(error)}{hint}"
        ) from None


def _text(value: Any, place: str, longest: int) -> str:
    if not isinstance(value, str):
        raise UserError(f"{place} is {value!r:.{NAMED}}: a text is needed.")
    if len(value) > longest:
        raise UserError(
            f"{place} has {len(value):,} characters, more than fetch.table.longest ({longest:,}). "
            "Is a quote before it not closed?"
        )
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can have half a character
        raise UserError(f"{place} is not Unicode: a text is needed.") from None
    return value


def _label(value: Any, place: str) -> str:
    label = label_text(value)
    if not isinstance(label, str) or not label:
        raise UserError(f"{place} is {value!r:.{NAMED}}: a text or a number is needed.")
    return label


def _read_csv(source: Source, columns: Columns, limit: int) -> Records:
    """A header, then rows of as many fields.

    Python's csv can be strict, and it counts lines. pandas and pyarrow accept stray quotes inside
    a text and report no line; pandas also pads rows that are too short.
    """
    dialect = csv.excel_tab if source.kind == ".tsv" else csv.excel
    reader = csv.reader(_lines(source, limit), dialect, strict=True)
    header = next(filter(None, reader), [])
    _require_columns("the header", header, columns)
    for fields in filter(None, reader):
        if len(fields) != len(header):
            raise ValueError(
                f"line {reader.line_num} has {len(fields)} fields, the header {len(header)}: put "
                "texts that hold separators in double quotes"
            )
        yield f" (line {reader.line_num})", dict(zip(header, fields, strict=True))


def _read_json(source: Source, columns: Columns, limit: int) -> Records:
    """An object a line."""
    for number, line in enumerate(_lines(source, limit), 1):
        if line.strip():
            try:
                values = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is not JSON: {error.msg}") from None
            except RecursionError:
                raise ValueError(f"line {number} is nested too deeply") from None
            if not isinstance(values, dict):
                raise ValueError(f"line {number} is {type(values).__name__}, not an object")
            _require_columns(f"line {number}", list(values), columns)
            yield f" (line {number})", values


def _read_parquet(source: Source, columns: Columns, _: int) -> Records:
    from pyarrow import ArrowException, parquet

    wanted = [name for name in columns if name is not None]
    try:
        with parquet.ParquetFile(source.path, buffer_size=BYTES_AT_ONCE) as file:
            _require_columns("its schema", file.schema_arrow.names, columns)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
                for row in range(len(batch)):  # one by one, or an error would be one of all
                    yield "", batch.slice(row, 1).to_pylist()[0]
    except ArrowException as error:
        raise ValueError(first_line(error)) from None


def _lines(source: Source, limit: int) -> Iterator[str]:
    """The lines of a file in UTF-8, which may be compressed, with their ends.

    One of more than `limit` bytes is an error, else a file without line ends would be read whole.
    """
    from fsspec.compression import compr
    from fsspec.utils import infer_compression

    with source.path.open("rb") as raw:
        file = compr[infer_compression(source.path.name)](raw, mode="r")
        for number, line in enumerate(iter(lambda: file.readline(limit + 1), b""), 1):
            if len(line) > limit:
                raise ValueError(
                    f"line {number} has more than {limit:,} bytes, which is more than "
                    "fetch.table.longest allows. Is a line end missing?"
                )
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")


def _require_columns(place: str, names: list[str], columns: Columns) -> None:
    """Raise ValueError unless each column that is wanted is there, once."""
    for kind, name in columns._asdict().items():
        if name is not None and names.count(name) != 1:
            shown = ", ".join(repr(column[:NAMED]) for column in names[:NAMED]) or "none"
            what = "no column" if name not in names else "more than one column"
            raise ValueError(f"{place} has {what} {name!r} (fetch.table.{kind}): {shown}")
