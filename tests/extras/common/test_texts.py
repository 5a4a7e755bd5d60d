"""Texts without labels are read past malformed rows, each of which says what is wrong."""

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from extras.common import texts
from extras.common.texts import Columns, Record
from sentiment.data.rows import Source
from sentiment.errors import UserError


def read(path: Path, content: bytes, identity: str | None = "nr") -> list[Record]:
    path.write_bytes(content)
    return [*texts.read(Source(path, path.name), Columns("text", identity), longest=20)]


def test_malformed_rows_of_a_table_say_why_and_the_others_are_read(tmp_path: Path) -> None:
    content = (
        b'nr,text\n1,fine\n2\n3,"a" b\n4,\xff\n5,"two\nlines, NA"\n\n6,' + b"x" * 21 + b"\n7,\n"
    )
    records = read(tmp_path / "a.csv", content)
    assert [(record.text, record.id) for record in records] == [
        ("fine", "1"),
        ("", None),
        ("", None),
        ("", None),
        ("two\nlines, NA", "5"),
        ("", "6"),
        ("", "7"),  # an empty text is one
    ]
    problems = [
        None,
        "it has 1 fields, the header 2",
        "expected after",
        "it is not UTF-8",
        None,
        "column 'text' has 21 characters, more than 20",
        None,
    ]
    for record, problem in zip(records, problems, strict=True):
        assert (record.error is None) == (problem is None)
        assert (problem or "") in (record.error or "")


def test_malformed_lines_of_json_say_why_and_the_others_are_read(tmp_path: Path) -> None:
    values = [{"nr": 1, "text": "fine"}, {"text": 5, "nr": 2.5}, [], {"nr": 4}, {"nr": None}]
    lines = [*map(json.dumps, values), "{", '{"nr": 7, "text": "\\ud800"}', '{"nr":8,"text":"x"}']
    records = read(tmp_path / "a.jsonl", "\n".join(lines).encode())
    assert [record.text for record in records] == ["fine", *[""] * 6, "x"]
    assert [record.id for record in records] == ["1", "2.5", *[None] * 5, "8"]
    assert [(record.error or "")[:28] for record in records] == [
        "",
        "column 'text' has no text",
        "it is list, not an object",
        "it has no column 'text' (TEX",
        "it has no column 'text' (TEX",
        "it is not JSON: Expecting pr",
        "it is not UTF-8",
        "",
    ]


def test_a_null_of_parquet_is_no_text(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": ["fine", None]}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    fine, missing = read(tmp_path / "a.parquet", content, identity=None)
    assert fine == ("fine", None, None)
    assert missing == ("", None, "column 'text' has no text")


@pytest.mark.parametrize("open_text", [b"open, " * 10, b"open, " * 30_000, b'open\n3,"lost" one\n'])
def test_a_quote_its_row_does_not_close_is_one_message(tmp_path: Path, open_text: bytes) -> None:
    content = b'nr,text\n1,fine\n2,"' + open_text
    with pytest.raises(UserError, match=r"a\.csv cannot be read after row 1.*quote not closed"):
        read(tmp_path / "a.csv", content)
