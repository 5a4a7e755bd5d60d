"""Read the rows of a CSV, TSV, JSON lines or Parquet file, and validate each of them.

CSV, TSV and JSON lines files may be compressed by gzip (.gz). A file is either read exactly or
refused: pandas, Arrow, DuckDB and polars each merge, cut or pad some rows of damaged files.
"""

import codecs
import csv
import gzip
import json
import math
import re
import reprlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TextIO
from unicodedata import category

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

from sentiment.errors import UserError, first_line

INTEGER_AS_FLOAT = re.compile(r"^(-?\d+)\.0+$")  # pandas writes integers so if some are missing
BATCH_ROWS = 1000  # rows of a Parquet file that are in memory at once
MAX_CHARACTERS = 1_000_000  # of a text; a longer one shows that a quote is not closed
MAX_FIELD_SIZE = 10 * MAX_CHARACTERS  # of any other field
MAX_NAMES_SHOWN = 20  # column names in a message
MAX_CHARACTERS_SHOWN = 20  # characters of a column name in a message
INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")  # Unicode's controls, formats such as U+200B, and spaces
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
READ_ERRORS = (EOFError, OSError, ValueError, csv.Error, zlib.error)
# Pydantic finds surrogates, see `_open`, only in a string with a constraint.
Utf8 = Annotated[str, StringConstraints(min_length=0)]
# The values of a row by column or, if the row is malformed, the problem.
Record = dict[str, Any] | str


class Columns(NamedTuple):
    """The names of the columns to read. A column without a name is not read."""

    text: str
    label: str | None = None
    id: str | None = None


def extension(path: Path) -> str:
    """Return a file's extension in lower case: `.csv` for both `a.csv` and `a.csv.gz`.

    Raises:
        UserError: the extension is not supported.
    """
    plain = path.with_suffix("") if is_compressed(path) else path
    found = plain.suffix.lower()
    if found not in READERS:
        raise UserError(
            f"{path} has an unsupported extension. Use {', '.join(READERS)}, all but .parquet "
            "optionally followed by .gz."
        )
    return found


def is_compressed(path: Path) -> bool:
    """Return whether a file is compressed by gzip, by its name."""
    return path.suffix.lower() == ".gz"


class Row(NamedTuple):
    """A valid row.

    Attributes:
        location: file and row, for messages.
        text: the text, which is not blank.
        label: the label, see `normalize_label`. Empty if no labels are read.
        id: the id. None if the row has none, or no ids are read.
    """

    location: str
    text: str
    label: str = ""
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


def normalize_label(value: Any) -> Any:
    """Return a finite number or a boolean as its JSON text, and any other value as it is.

    The texts of a CSV file are normalized likewise: 1, 1.0, `1` and `1.0` are the same label, and
    so are true, `true` and `True`.
    """
    if isinstance(value, str):
        return value.lower() if value in ("True", "False") else INTEGER_AS_FLOAT.sub(r"\1", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if is_number else value


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


def read_valid_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Read the rows of a file, all of which must be valid. See `read_rows`.

    Raises:
        UserError: a row is invalid, or the file cannot be read.
    """
    for row in read_rows(path, columns):
        if isinstance(row, InvalidRow):
            raise UserError(f"{row.location}: {row.problem}. Correct this row, or remove it.")
        yield row


def read_rows(path: Path, columns: Columns) -> Iterator[Row | InvalidRow]:
    """Read the rows of a file, including invalid ones.

    Args:
        path: the file.
        columns: the columns to read. The file must have each of them once.

    Raises:
        UserError: there is no such file, its extension is not supported, or the rest of the file
            cannot be read.
    """
    read = READERS[extension(path)]
    if not path.is_file():
        raise UserError(f"There is no file {path}. Correct its path.")
    csv.field_size_limit(MAX_FIELD_SIZE)
    model = _row_model(columns)
    names = [name for name in columns if name is not None]
    where = "from its beginning"
    try:
        for number, (line, record) in enumerate(read(path, names), 1):
            row = f"row {number} (line {line})" if line else f"row {number}"
            where = f"after {row}"
            yield _validate(f"{path}, {row}", record, columns, model)
    except READ_ERRORS as error:
        hint = ". Is a quote not closed?" if isinstance(error, csv.Error) else ""
        message = f"{path} cannot be read {where}: {first_line(error)}{hint}"
        raise UserError(message) from None


def _row_model(columns: Columns) -> type[BaseModel]:
    """Return a model of the columns that are read. An alias is the name of a column in the file."""
    limit = StringConstraints(max_length=MAX_CHARACTERS)
    types: dict[str, Any] = {
        "text": Annotated[str, limit, AfterValidator(_check_text)],
        "label": Annotated[Utf8, BeforeValidator(_check_label)],
        "id": Annotated[Utf8 | None, BeforeValidator(_id_text)],
    }
    fields: dict[str, Any] = {
        key: (types[key], Field(alias=name))
        for key, name in columns._asdict().items()
        if name is not None
    }
    return create_model("FileRow", __config__=ConfigDict(strict=True), **fields)


def _check_text(text: str) -> str:
    if all(category(character) in INVISIBLE for character in text):
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


def _read_csv(path: Path, names: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the last line of each row, and the row, which has as many fields as the header."""
    dialect = csv.excel_tab if extension(path) == ".tsv" else csv.excel
    with _open(path) as file:
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


def _read_json(path: Path, _: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the number of each line that is not blank, and its object."""
    with _open(path) as file:
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


def _read_parquet(path: Path, names: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the rows, which have no lines, with 0."""
    from pyarrow import ArrowException, parquet

    try:
        with path.open("rb") as opened, parquet.ParquetFile(opened) as file:
            _check_columns("the schema", file.schema_arrow.names, names)
            for batch in file.iter_batches(BATCH_ROWS, columns=names):
                yield from ((0, row) for row in batch.to_pylist())
    except ArrowException as error:
        raise ValueError(first_line(error)) from None


READERS: dict[str, Callable[[Path, Sequence[str]], Iterator[tuple[int, Record]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".parquet": _read_parquet,
}


def _open(path: Path) -> TextIO:
    """Open a text file, which may be compressed, and skip a byte order mark.

    Bytes that are not UTF-8 become surrogates. Validation then finds the row that has them.

    Raises:
        ValueError: the file is UTF-16, which Excel calls Unicode text.
    """
    open_file = gzip.open if is_compressed(path) else open
    with open_file(path, "rb") as file:
        if file.read(2) in UTF16_MARKS:
            raise ValueError("it is not UTF-8; it looks like UTF-16. Save it as UTF-8.")
    return open_file(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")


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
