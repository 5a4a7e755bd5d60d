"""Labelled texts from a file: CSV, TSV, JSON lines or Parquet, read row by row.

CSV, TSV and JSON lines may be compressed (.gz, .bz2, .xz).
"""

import csv
import json
import lzma
import math
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.data.dataset import label_text
from sentiment.errors import UserError, first_line

if TYPE_CHECKING:
    from tqdm import tqdm

KINDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
COMPRESSED = {".gz", ".bz2", ".xz"}
ROWS_AT_ONCE, BYTES_AT_ONCE = 1000, 2**20  # of a Parquet file
ESCAPED = 12  # bytes of a character in JSON lines, at most: "\\ud83d\\ude00"
NAMED = 20  # columns that a message names, each by as many characters at most


class Columns(NamedTuple):
    """The columns that are read; `group` None for none."""

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
            raise UserError(
                f"{self.name} ends in none of {', '.join(KINDS)}, so what it is is not known."
            )
        return plain.suffix.lower()


RawRows = Iterator[tuple[str, dict[str, Any]]]  # the place of each row, and its values by column
Reader = Callable[[Source, Columns, int], RawRows]


class Row(NamedTuple):
    """A row.

    Attributes:
        place: where it is, for messages.
        text: its text.
        label: its label; a number or a truth value is written as JSON has it.
        group: its group; empty where none is read.
    """

    place: str
    text: str
    label: str
    group: str


class Labels:
    """The two labels of a file, of which one is positive.

    Args:
        positive: that one.
        column: where they are.
    """

    def __init__(self, positive: str, column: str) -> None:
        self.positive = positive
        self.column = column
        self._other: str | None = None

    def is_positive(self, row: Row) -> bool:
        """Whether a row's label is the positive one; UserError if it is a third one."""
        if row.label == self.positive:
            return True
        if self._other is None:
            self._other = row.label
        if row.label != self._other:
            raise UserError(
                f"{row.place}, column {self.column!r} is {row.label!r}: beside {self.positive!r}, "
                f"which is positive, there was {self._other!r} already, and two labels are all "
                "there may be."
            )
        return False

    def require_both(self, labels: NDArray[np.uint8], where: str) -> None:
        """Raise UserError unless there are rows, 1 = positive, of both labels."""
        if not len(labels):
            raise UserError(f"{where} has no row with a word in its text.")
        if len(np.unique(labels)) < 2:
            which = "all" if labels[0] else "none"
            raise UserError(
                f"{where}: {which} of the {len(labels):,} rows have the label {self.positive!r}, "
                f"which is positive, in column {self.column!r}, and both labels are needed."
            )


def read(source: Source, columns: Columns, longest: int) -> Iterator[Row]:
    """Read the rows of a file.

    Args:
        source: the file.
        columns: those to read.
        longest: characters of a text, at most.

    Raises:
        UserError: it is of another kind or damaged, or a row is not as it has to be; the message
            says which row and column.
    """
    csv.field_size_limit(max(longest + 1, csv.field_size_limit()))
    for place, values in _reader(source.kind)(source, columns, ESCAPED * longest + BYTES_AT_ONCE):
        text = _text(values[columns.text], f"{place}, column {columns.text!r}", longest)
        label = _label(values[columns.label], f"{place}, column {columns.label!r}")
        group = ""
        if columns.group is not None:
            group = _label(values[columns.group], f"{place}, column {columns.group!r}")
        yield Row(place, text, label, group)


def _reader(kind: str) -> Reader:
    if kind in (".csv", ".tsv"):
        return partial(_read_csv, csv.excel if kind == ".csv" else csv.excel_tab)
    return _read_parquet if kind == ".parquet" else _read_json


def _text(value: Any, place: str, longest: int) -> str:
    if not isinstance(value, str):
        what = "missing" if value is None else f"{type(value).__name__}, not a text"
        raise UserError(f"{place} is {what}.")
    if len(value) > longest:
        raise UserError(
            f"{place} has {len(value):,} characters, more than fetch.table.longest ({longest:,}). "
            "Is a quote before it not closed?"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{place} is not Unicode: {error}") from None
    return value


def _label(value: Any, place: str) -> str:
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        raise UserError(f"{place} is missing.")
    label = label_text(value)
    if not isinstance(label, str):
        raise UserError(f"{place} is {type(value).__name__}, not a text or a number.")
    return label


def _read_csv(dialect: type[csv.Dialect], source: Source, columns: Columns, limit: int) -> RawRows:
    """A header, then rows of as many fields.

    Python's csv can be strict, and it counts lines. pandas and pyarrow accept stray quotes inside
    a text and report no line; pandas also pads rows that are too short.
    """
    reader = csv.reader(_lines(source, limit), dialect, strict=True)
    try:
        header = next(filter(None, reader), [])
        if not header:
            raise UserError(f"{source.name} is empty: a header with the columns is expected.")
        _require_columns(source.name, header, columns)
        for number, fields in enumerate(filter(None, reader), 1):
            place = f"{source.name}, row {number} (line {reader.line_num})"
            if len(fields) != len(header):
                raise UserError(
                    f"{place} has {len(fields)} fields, the header {len(header)}: put texts "
                    "that hold separators in double quotes."
                )
            yield place, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise UserError(
            f"{source.name}, line {reader.line_num}, cannot be read: {error}. Is a quote not "
            "closed?"
        ) from None


def _read_json(source: Source, columns: Columns, limit: int) -> RawRows:
    """An object a line."""
    lines = ((line, text) for line, text in enumerate(_lines(source, limit), 1) if text.strip())
    for number, (line, text) in enumerate(lines, 1):
        place = f"{source.name}, row {number} (line {line})"
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place} is not JSON: {first_line(error)}") from None
        if not isinstance(values, dict):
            raise UserError(f"{place} is {type(values).__name__}, not an object with columns.")
        _require_columns(place, list(values), columns)
        yield place, values


def _read_parquet(source: Source, columns: Columns, _: int) -> RawRows:
    import pyarrow
    from pyarrow import parquet

    wanted, number = [name for name in columns if name is not None], 0
    try:
        with (
            parquet.ParquetFile(source.path, buffer_size=BYTES_AT_ONCE) as file,
            _bar(source.path.name, file.metadata.num_rows, "rows") as bar,
        ):
            _require_columns(source.name, file.schema_arrow.names, columns)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
                for row in range(len(batch)):
                    number += 1
                    yield f"{source.name}, row {number}", batch.slice(row, 1).to_pylist()[0]
                bar.update(len(batch))
    except UnicodeDecodeError as error:
        raise UserError(f"{source.name}, row {number}, is not UTF-8: {error}") from None
    except (pyarrow.ArrowException, OSError) as error:
        where = f"after row {number}" if number else "from its beginning"
        raise UserError(f"{source.name} cannot be read {where}: {first_line(error)}") from None


def _lines(source: Source, limit: int) -> Iterator[str]:
    """The lines of a file in UTF-8, which may be compressed, with their ends.

    One of more than `limit` bytes is an error, else a file without line ends would be read whole.
    """
    from fsspec.compression import compr
    from fsspec.utils import infer_compression

    number, name = 0, source.path.name
    compression = infer_compression(name)
    size = None if compression else source.path.stat().st_size
    try:
        with source.path.open("rb") as raw, _bar(name, size, "B") as bar:
            file = compr[compression](raw, mode="r")
            for number, line in enumerate(iter(lambda: file.readline(limit + 1), b""), 1):
                if len(line) > limit:
                    raise UserError(
                        f"{source.name}, line {number}, has more than {limit:,} bytes, which is "
                        "more than fetch.table.longest allows. Is a line end missing?"
                    )
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
                bar.update(len(line))
    except UnicodeDecodeError as error:
        raise UserError(f"{source.name}, line {number}, is not UTF-8: {error}") from None
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{source.name} cannot be read: {first_line(error)}") from None


def _bar(name: str, total: int | None, unit: str) -> "tqdm[Any]":
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    return tqdm(desc=name, total=total, unit=unit, unit_scale=True, disable=quiet)


def _require_columns(place: str, there: list[str], columns: Columns) -> None:
    """Raise UserError unless each column that is wanted is there, once."""
    for kind, name in columns._asdict().items():
        if name is not None and there.count(name) != 1:
            shown = ", ".join(repr(column[:NAMED]) for column in there[:NAMED]) or "none"
            what = "no column" if name not in there else "more than one column"
            raise UserError(f"{place} has {what} {name!r} (fetch.table.{kind}): {shown}.")
