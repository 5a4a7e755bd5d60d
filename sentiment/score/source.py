"""The texts that are scored: a file, or all files of a folder."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from sentiment.data.labels import list_labels
from sentiment.data.rows import ColumnError, Columns, Row, list_tables, read_rows
from sentiment.errors import UserError
from sentiment.project.files.digests import file_md5
from sentiment.project.files.documents import count_formulas
from sentiment.project.files.paths import Project


class Counts(NamedTuple):
    """The numbers of a source's rows, and of its ids that a spreadsheet would compute."""

    rows: int
    formula_ids: int


class Source(NamedTuple):
    """The rows of a file or, one file after the other, of a folder.

    Attributes:
        path: the file or the folder.
        columns: the columns that are read.
    """

    path: Path
    columns: Columns

    def rows(self) -> Iterator[Row]:
        """Read all rows, numbered from 1 through all files.

        Raises:
            UserError: a file or a row cannot be read.
        """
        rows = chain.from_iterable(map(self._read, list_tables(self.path)))
        for number, row in enumerate(rows, 1):
            yield row._replace(number=number)

    def _read(self, path: Path) -> Iterator[Row]:
        try:
            yield from read_rows(path, self.columns)
        except ColumnError as error:
            if error.column != self.columns.id:
                raise
            raise UserError(f"{error}. To read no ids: --id-column ''") from None

    def check_rows(self, label_names: Sequence[str]) -> Counts:
        """Read all rows once, and count them.

        Args:
            label_names: of the version. If labels are read, two of these must occur, and no
                other.

        Raises:
            UserError: a row is invalid, no row has a text, or the labels are others.
        """
        rows = 0
        texts = 0
        formula_ids = 0
        found = set()
        for path in list_tables(self.path):
            for row in self._read(path):
                if self.columns.label and row.label not in label_names:
                    raise UserError(
                        f"{path}, row {row.number}: column {self.columns.label!r} has a label that "
                        f"the version does not have. Its labels are {list_labels(label_names)}. "
                        "Write one of these."
                    )
                rows += 1
                formula_ids += count_formulas([row.id])
                if row.text:
                    texts += 1
                    found.add(row.label)
        if not texts:
            raise UserError(
                f"{self.path} has no text in column {self.columns.text!r} of its {rows:,} rows. "
                "Name another file or column."
            )
        if self.columns.label and len(found) < 2:
            raise UserError(
                f"{self.path} has only the label {found.pop()!r} in column "
                f"{self.columns.label!r}, but metrics need two labels. Add texts with another one."
            )
        return Counts(rows, formula_ids)

    def is_one_of(self, project: Project, tables: Mapping[str, str]) -> bool:
        """Return whether the file is one of some tables, by its path or its content.

        Args:
            tables: the MD5 digest of each table by its path in the project.
        """
        if not self.path.is_file():
            return False
        paths = {(project.folder / path).resolve() for path in tables}
        if self.path.resolve() in paths:
            return True
        return file_md5(self.path) in tables.values()
