"""Read the rows of a CSV, TSV, JSON lines or Parquet file, and validate each of them.

CSV, TSV and JSON lines files may be compressed by gzip (.gz). A file is either read exactly or
refused: pandas, Arrow, DuckDB and polars each merge, cut or pad some rows of damaged files.
"""

import csv
import gzip
import json
import reprlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from sentiment.data.params import normalize_label
from sentiment.errors import UserError, first_line

EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
BATCH_ROWS = 1000  # rows of a Parquet file that are in memory at once
MAX_NAMES_SHOWN = 20  # column names in a message
MAX_CHARACTERS_SHOWN = 20  # characters of a column name in a message
# A field this many times as long as the longest text shows that a quote is not closed.
UNCLOSED_QUOTE_FACTOR = 10
MIN_FIELD_SIZE_LIMIT = 131_072  # Python's default; other code in the process may rely on it
READ_ERRORS = (EOFError, OSError, ValueError, csv.Error, zlib.error)
# Pydantic finds surrogates, see `_open`, only in a string with a constraint.
Utf8 = Annotated[str, StringConstraints(min_length=0)]
# The values of a row by column or, if the row is malformed, the problem.
Record = dict[str, Any] | str


class Columns(NamedTuple):
    """The names of the columns to read. A column without a name is not read."""

    text: str
    label: str | None = None
    group: str | None = None
    id: str | None = None


class Source(NamedTuple):
    """A file on this machine, and its name in messages."""

    path: Path
    name: str

    @property
    def extension(self) -> str:
        """The file's extension in lower case: `.csv` for both `a.csv` and `a.csv.gz`."""
        plain = self.path.with_suffix("") if self.is_compressed else self.path
        return plain.suffix.lower()

    @property
    def is_compressed(self) -> bool:
        return self.path.suffix.lower() == ".gz"

    def check_extension(self) -> None:
        """Check that the file's extension is one of `EXTENSIONS`.

        Raises:
            UserError: the extension is not supported.
        """
        if self.extension not in EXTENSIONS:
            raise UserError(
                f"{self.name} has an unsupported extension. Use {', '.join(EXTENSIONS)}, all but "
                ".parquet optionally followed by .gz."
            )


class Row(NamedTuple):
    """A valid row.

    Attributes:
        location: file and row, for messages.
        text: the text, which is not blank.
        label: the label, see `normalize_label`. Empty if no labels are read.
        group: the group, normalized like a label. Empty if no groups are read.
        id: the id. None if the row has none, or no ids are read.
    """

    location: str
    text: str
    label: str = ""
    group: str = ""
    id: str | None = None


class InvalidRow(NamedTuple):
    """A row that cannot be used.

    Attributes:
        location: file and row, for messages.
        problem: why the row is invalid. It has no part of the text, which may be private.
        id: the id, if it could be read.
    """

    location: str
    problem: str
    id: str | None


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
                f"{self.positive!r} (positive) and {self._negative!r} were expected. Correct this "
                "row, or remove it."
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
            raise UserError(
                f"{name} has no row with a known word in its text. Add rows with both labels."
            )
        if len(np.unique(labels)) < 2:
            which = "all" if labels[0] else "none"
            raise UserError(
                f"{name}: {which} of the {len(labels):,} rows have the label {self.positive!r} in "
                f"column {self.column!r}, but both labels are needed. Add rows with the other "
                "label."
            )


def read_valid_rows(source: Source, columns: Columns, max_characters: int) -> Iterator[Row]:
    """Read the rows of a file, all of which must be valid. See `read_rows`.

    Raises:
        UserError: a row is invalid, or the file cannot be read.
    """
    for row in read_rows(source, columns, max_characters):
        if isinstance(row, InvalidRow):
            raise UserError(f"{row.location}: {row.problem}. Correct this row, or remove it.")
        yield row


def read_rows(source: Source, columns: Columns, max_characters: int) -> Iterator[Row | InvalidRow]:
    """Read the rows of a file, including invalid ones.

    Args:
        source: the file.
        columns: the columns to read. The file must have each of them once.
        max_characters: the longest text that is allowed.

    Raises:
        UserError: the extension is not supported, or the rest of the file cannot be read.
    """
    source.check_extension()
    max_field_size = UNCLOSED_QUOTE_FACTOR * max_characters
    csv.field_size_limit(max(MIN_FIELD_SIZE_LIMIT, max_field_size))
    model = _row_model(columns, max_characters)
    names = [name for name in columns if name is not None]
    where = "from its beginning"
    try:
        for number, (line, record) in enumerate(READERS[source.extension](source, names), 1):
            row = f"row {number} (line {line})" if line else f"row {number}"
            where = f"after {row}"
            yield _validate(f"{source.name}, {row}", record, columns, model)
    except READ_ERRORS as error:
        hint = ". Is a quote not closed?" if isinstance(error, csv.Error) else ""
        message = f"{source.name} cannot be read {where}: {first_line(error)}{hint}"
        raise UserError(message) from None


def _row_model(columns: Columns, max_characters: int) -> type[BaseModel]:
    """Return a model of the columns that are read. An alias is the name of a column in the file."""
    limit = StringConstraints(max_length=max_characters)
    types: dict[str, Any] = {
        "text": Annotated[str, limit, AfterValidator(_check_text)],
        "label": Annotated[Utf8, BeforeValidator(_check_label)],
        "group": Annotated[Utf8, BeforeValidator(_check_label)],
        "id": Annotated[Utf8 | None, BeforeValidator(_id_text)],
    }
    fields: dict[str, Any] = {
        key: (types[key], Field(alias=name))
        for key, name in columns._asdict().items()
        if name is not None
    }
    return create_model("FileRow", __config__=ConfigDict(strict=True), **fields)


def _check_text(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "There is no text")
    return text


def _check_label(value: Any) -> str:
    label = normalize_label(value)
    if not isinstance(label, str) or not label:
        raise PydanticCustomError("label", "A text or a number is needed")
    return label


def _id_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _validate(
    location: str, record: Record, columns: Columns, model: type[BaseModel]
) -> Row | InvalidRow:
    if isinstance(record, str):
        return InvalidRow(location, record, None)
    try:
        return Row(location, **model.model_validate(record).model_dump())
    except ValidationError as error:
        errors = error.errors(include_url=False)
        failed = {problem["loc"][0] for problem in errors}
        row_id = None
        if columns.id is not None and columns.id not in failed:
            row_id = _id_text(record[columns.id])
        return InvalidRow(location, _describe(errors[0], columns), row_id)


def _describe(error: ErrorDetails, columns: Columns) -> str:
    name = error["loc"][0]
    value = error["input"]
    message = "It is not UTF-8" if error["type"] == "string_unicode" else error["msg"]
    is_shown = not isinstance(value, str) and name != columns.text and error["type"] != "missing"
    shown = f" is {reprlib.repr(value)}" if is_shown else ""
    return f"column {name!r}{shown}: {message}"


def _read_csv(source: Source, names: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the last line of each row, and the row, which has as many fields as the header."""
    dialect = csv.excel_tab if source.extension == ".tsv" else csv.excel
    with _open(source) as file:
        reader = csv.reader(file, dialect, strict=True)
        rows = filter(None, reader)  # skips empty lines
        header = next(rows, [])
        _check_columns("the header", header, names)
        for fields in rows:
            if len(fields) == len(header):
                yield reader.line_num, dict(zip(header, fields, strict=True))
            else:
                counts = f"the number of fields is {len(fields)}, but {len(header)} in the header"
                yield reader.line_num, counts


def _read_json(source: Source, _: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the number of each line that is not blank, and its object."""
    with _open(source) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _parse_object(line)


def _parse_object(line: str) -> Record:
    try:
        values = json.loads(line, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        return f"the line is not JSON: {error.msg}"
    except (ValueError, RecursionError) as error:
        return f"the line cannot be read: {first_line(error)}"
    return values if isinstance(values, dict) else "the line is not a JSON object"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object has the same key twice")
    return values


def _read_parquet(source: Source, names: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the rows, which have no lines, with 0."""
    from pyarrow import ArrowException, parquet

    try:
        with source.path.open("rb") as opened, parquet.ParquetFile(opened) as file:
            _check_columns("the schema", file.schema_arrow.names, names)
            for batch in file.iter_batches(BATCH_ROWS, columns=names):
                yield from ((0, row) for row in batch.to_pylist())
    except ArrowException as error:
        raise ValueError(first_line(error)) from None


READERS: dict[str, Callable[[Source, Sequence[str]], Iterator[tuple[int, Record]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".parquet": _read_parquet,
}


def _open(source: Source) -> TextIO:
    """Open a text file, which may be compressed, and skip a byte order mark.

    Bytes that are not UTF-8 become surrogates. Validation then finds the row that has them.
    """
    encoding = "utf-8-sig"
    errors = "surrogateescape"
    if source.is_compressed:
        return gzip.open(source.path, "rt", encoding=encoding, errors=errors, newline="")
    return source.path.open(encoding=encoding, errors=errors, newline="")


def _check_columns(owner: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Check that each wanted column is there once.

    Raises:
        ValueError: a column is missing, or is there several times.
    """
    for name in wanted:
        count = list(names).count(name)
        if count != 1:
            found = f"{count} columns" if count else "no column"
            shown = [repr(column[:MAX_CHARACTERS_SHOWN]) for column in names[:MAX_NAMES_SHOWN]]
            all_names = ", ".join(shown) or "none"
            raise ValueError(f"{owner} has {found} {name!r}. Its columns: {all_names}")
