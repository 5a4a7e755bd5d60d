"""The rows of a file or a folder are read as one table, and checked before they are predicted."""

import hashlib
from pathlib import Path

import pytest

from sentiment.data.rows import Columns
from sentiment.errors import UserError
from sentiment.project.files.paths import Project
from sentiment.score.source import Source

LABELS = ["bad", "good"]


def make_source(path: Path, content: str, label: str | None = "label") -> Source:
    path.write_text(content)
    return Source(path, Columns("text", label, "id"))


def test_rows_of_a_folder_are_numbered_through(tmp_path: Path) -> None:
    make_source(tmp_path / "b.csv", "id,text,label\n=x,Fine.,good\n")
    make_source(tmp_path / "a.csv", "id,text,label\ny,No.,bad\nz,Well.,good\n")
    source = Source(tmp_path, Columns("text", "label", "id"))
    assert source.check_rows(LABELS) == (3, 1)
    assert [(row.number, row.id, row.label) for row in source.rows()] == [
        (1, "y", "bad"),
        (2, "z", "good"),
        (3, "=x", "good"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,Fine.,good\n2,No.,negative\n", "row 2: column 'label' has a label that the version"),
        ("1,Fine.,good\n2,,bad\n", "has only the label 'good' in column 'label'"),
        ('1,Fine.,good\n2,"open', "row 2: unexpected end of data; perhaps a quote is not closed"),
    ],
)
def test_wrong_labels_and_rows_are_refused(rows: str, message: str, tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.csv", f"id,text,label\n{rows}")
    with pytest.raises(UserError, match=message):
        source.check_rows(LABELS)


def test_file_without_a_text_is_refused(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.csv", "id,text\n1, \n2,\n", label=None)
    with pytest.raises(UserError, match="has no text in column 'text' of its 2 rows"):
        source.check_rows(LABELS)


def test_a_table_is_known_by_its_path_and_by_its_content(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path)
    source = make_source(tmp_path / "a.csv", "text,label\nFine.,good\n")
    md5 = hashlib.md5(source.path.read_bytes()).hexdigest()  # as DVC has it
    assert source.is_one_of(project, {"a.csv": "0123"})
    assert source.is_one_of(project, {"b/own.csv": md5})
    assert not source.is_one_of(project, {"b/a.csv": "0123"})
