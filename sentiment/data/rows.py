"""Labelled texts from a file: CSV, TSV, JSON lines or Parquet, read row by row.

The file is one of this machine, or at an address that fsspec knows; such a one is copied to this
machine first. CSV, TSV and JSON lines may be compressed (.gz, .bz2, .xz).
"""

import csv
import json
import lzma
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment import process
from sentiment.errors import UserError, first_line

if TYPE_CHECKING:
    from tqdm import tqdm

COMPRESSED = {".gz", ".bz2", ".xz"}
ROWS_AT_ONCE = 1000  # of a Parquet file


class Columns(NamedTuple):
    """The columns that are read; `group` None for none."""

    text: str
    label: str
    group: str | None = None


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


class Found(NamedTuple):
    """A row as its file has it: where it is, and values by columns."""

    place: str
    values: dict[str, Any]


@contextmanager
def local(address: str) -> Iterator[Path]:
    """The file on this machine; what is at an address is copied for the length of the block.

    Raises:
        UserError: there is no such file, or the address cannot be read.
    """
    if "://" not in address:
        if not Path(address).is_file():
            raise UserError(f"There is no file {address}.")
        yield Path(address)
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, PurePosixPath(address).name)
        _download(address, target)
        yield target


def _download(address: str, target: Path) -> None:
    import fsspec
    from fsspec.callbacks import TqdmCallback

    progress = {"desc": target.name, "unit": "B", "unit_scale": True}
    quiet = {"disable": not sys.stderr.isatty()}
    try:
        system, name = fsspec.url_to_fs(address)
        system.get_file(name, str(target), callback=TqdmCallback(progress | quiet))
    except FileNotFoundError:
        raise UserError(f"There is no file {address}.") from None
    except Exception as error:  # each kind of address has errors of its own
        reason = first_line(error) or type(error).__name__
        raise UserError(f"{address} cannot be read: {reason}") from None


def read(path: Path, columns: Columns, longest: int) -> Iterator[Row]:
    """Read the rows of a file.

    Args:
        path: the file.
        columns: those to read.
        longest: characters of a text, at most.

    Raises:
        UserError: it is of another kind or damaged, or a row is not as it has to be; the message
            says which row and column.
    """
    csv.field_size_limit(max(longest + 1, csv.field_size_limit()))
    for place, values in _reader(path)(path, columns):
        text = _text(values[columns.text], f"{place}, column {columns.text!r}", longest)
        label = _label(values[columns.label], f"{place}, column {columns.label!r}")
        group = ""
        if columns.group is not None:
            group = _label(values[columns.group], f"{place}, column {columns.group!r}")
        yield Row(place, text, label, group)


def _reader(path: Path) -> Callable[[Path, Columns], Iterator[Found]]:
    suffixes = [each for each in path.suffixes if each.lower() not in COMPRESSED]
    kind = suffixes[-1].lower() if suffixes else ""
    readers = {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_json,
        ".ndjson": _read_json,
        ".parquet": _read_parquet,
    }
    if kind not in readers:
        raise UserError(f"{path} ends in none of {', '.join(readers)}, so what it is is not known.")
    return readers[kind]


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
    if value is None or value == "":
        raise UserError(f"{place} is missing.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise UserError(f"{place} is {type(value).__name__}, not a text or a number.")
    return value if isinstance(value, str) else json.dumps(value)


def _read_csv(path: Path, columns: Columns) -> Iterator[Found]:
    """A header, then rows of as many fields, separated by commas or, in a TSV, by tabs."""
    dialect = csv.excel_tab if ".tsv" in path.suffixes else csv.excel
    with _opened(path) as (file, progress):
        reader = csv.reader(_lines(path, file, progress), dialect, strict=True)
        try:
            header = next(reader, [])
            _require_columns(path, header, columns)
            for number, fields in enumerate(filter(None, reader), 1):
                place = f"{path}, row {number} (line {reader.line_num})"
                if len(fields) != len(header):
                    raise UserError(
                        f"{place} has {len(fields)} fields, the header {len(header)}: put texts "
                        "that hold separators in double quotes."
                    )
                yield Found(place, dict(zip(header, fields, strict=True)))
        except csv.Error as error:
            raise UserError(
                f"{path}, line {reader.line_num}, cannot be read: {error}. Is a quote not closed?"
            ) from None


def _read_json(path: Path, columns: Columns) -> Iterator[Found]:
    """An object a line."""
    number = 0
    with _opened(path) as (file, progress):
        for line, text in enumerate(_lines(path, file, progress), 1):
            if not text.strip():
                continue
            number += 1
            place = f"{path}, row {number} (line {line})"
            try:
                values = json.loads(text)
            except ValueError as error:
                raise UserError(f"{place} is not JSON: {error}") from None
            if not isinstance(values, dict):
                raise UserError(f"{place} is {type(values).__name__}, not an object with columns.")
            _require_columns(Path(place), list(values), columns)
            yield Found(place, values)


def _read_parquet(path: Path, columns: Columns) -> Iterator[Found]:
    import pyarrow
    from pyarrow import parquet

    wanted = [each for each in columns if each is not None]
    number = 0
    try:
        with parquet.ParquetFile(path) as file, _bar(path, file.metadata.num_rows, "rows") as bar:
            _require_columns(path, file.schema_arrow.names, columns)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
                for values in batch.to_pylist():
                    number += 1
                    yield Found(f"{path}, row {number}", values)
                process.raise_noted()
                bar.update(len(batch))
    except (pyarrow.ArrowException, OSError) as error:
        where = f"after row {number}" if number else "from its beginning"
        raise UserError(f"{path} cannot be read {where}: {first_line(error)}") from None


@contextmanager
def _opened(path: Path) -> "Iterator[tuple[BinaryIO, tqdm[Any]]]":
    """The content of a file, which may be compressed, and a bar that shows how much was read."""
    import fsspec

    try:
        with (
            fsspec.open(str(path), "rb", compression="infer") as file,
            _bar(path, path.stat().st_size, "B") as bar,
        ):
            yield file, bar
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from None


def _bar(path: Path, total: int, unit: str) -> "tqdm[Any]":
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    return tqdm(desc=path.name, total=total, unit=unit, unit_scale=True, disable=quiet)


def _lines(path: Path, file: BinaryIO, progress: "tqdm[Any]") -> Iterator[str]:
    """The lines of a file in UTF-8, with their ends."""
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}, line {number}, is not UTF-8: {error}") from None
        process.raise_noted()
        progress.update(len(line))


def _require_columns(place: Path, there: list[str], columns: Columns) -> None:
    if not there:
        raise UserError(f"{place} is empty: a header with the columns is expected.")
    for kind, name in columns._asdict().items():
        if name is not None and name not in there:
            raise UserError(
                f"{place} has no column {name!r} (fetch.table.{kind}), but {', '.join(there)}."
            )
