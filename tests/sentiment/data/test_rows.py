"""Read rows from good and damaged files of every supported format."""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import category

import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sentiment.data import rows
from sentiment.data.rows import (
    Columns,
    InvalidRow,
    Row,
    list_tables,
    normalize_label,
    read_rows,
    read_valid_rows,
)
from sentiment.errors import UserError

COLUMNS = Columns("text", "label", "id")
BOM = b"\xef\xbb\xbf"
KINDS = ["csv", "TSV", "csv.gz", "jsonl", "ndjson.GZ", "parquet"]
LABELED_ROWS = st.lists(
    st.tuples(
        st.text().filter(lambda text: any(category(char)[0] not in "CZ" for char in text)),
        st.sampled_from(["positive", "no", "1", "été"]),
        st.text(),
    )
)


def write_rows(path: Path, content: Sequence[tuple[str, str, str]]) -> None:
    """Write rows of text, label and id in the format that a file's name asks for."""
    kind = path.name.lower().split(".")[1]
    if kind == "parquet":
        columns = zip(*content, strict=True) if content else [(), (), ()]
        arrays = [pyarrow.array(list(column), pyarrow.string()) for column in columns]
        parquet.write_table(pyarrow.table(dict(zip(COLUMNS, arrays, strict=True))), path)
        return
    open_file = gzip.open if path.suffix.lower() == ".gz" else open
    with open_file(path, "wt", encoding="utf-8", newline="") as file:
        if kind in ("csv", "tsv"):
            writer = csv.writer(file, csv.excel if kind == "csv" else csv.excel_tab)
            writer.writerows([COLUMNS, *content])
        else:
            for row in content:
                values = dict(zip(COLUMNS, row, strict=True))
                file.write(json.dumps(values, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("kind", KINDS)
@settings(
    database=None,
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(content=LABELED_ROWS)
@example(content=[('She said "no", twice.\r\n\nThen\rleft.\x00\u2028', "1", "\t,\ufeff")])
def test_rows_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, kind: str, content: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"rows.{kind}"
    write_rows(path, content)
    read = [(row.text, row.label, row.id) for row in read_valid_rows(path, COLUMNS)]
    assert read == content


REFUSED: dict[str, tuple[str, bytes | str, list[str]]] = {
    "no column": ("a.csv", "body,label\n", ["no column 'text'", "'body', 'label'"]),
    "empty": ("a.csv", "", ["a.csv cannot be read from its beginning", "Its columns: none"]),
    "column twice": ("a.csv", "text,label,label\na,1,0\n", ["2 columns 'label'"]),
    "row too short": ("a.csv", "text,label\na,1\nb\n", ["row 2 (line 3)", "fields is 1, but 2"]),
    "row too long": ("a.csv", "text,label\na,1\nb,0,c\n", ["row 2 (line 3)", "fields is 3"]),
    "quote closed rows later": (
        "a.csv",
        'text,label\na,1\n"b,1\nc,0\n"d",1\n',
        ["after row 1 (line 2)", "Is a quote not closed?"],
    ),
    "quote never closed in a large file": (
        "a.csv",
        'text,label\na,1\n"b,1\n' + "c,0\n" * 3_000_000,
        ["after row 1 (line 2)", "field larger than", "Is a quote not closed?"],
    ),
    "Latin-1": (
        "a.csv",
        "text,label\na,1\nété,0\n".encode("latin-1"),
        ["row 2 (line 3): column 'text': It is not UTF-8"],
    ),
    "UTF-16": (
        "a.csv",
        "text,label\na,1\n".encode("utf-16"),
        ["a.csv cannot be read from its beginning: it is not UTF-8; it looks like UTF-16"],
    ),
    "UTF-16 of a big-endian machine, compressed": (
        "a.tsv.gz",
        gzip.compress("\ufefftext\tlabel\na\t1\n".encode("utf-16-be")),
        ["it is not UTF-8; it looks like UTF-16"],
    ),
    "empty text": ("a.csv", "text,label\na,1\n,0\n", ["row 2 (line 3)", "There is no text"]),
    "blank text": ("a.csv", 'text,label\n" \t\u00a0",0\n', ["row 1 (line 2)", "is no text"]),
    "invisible text": ("a.csv", "text,label\n\u200b\u2060 \x07,0\n", ["There is no text"]),
    "empty label": ("a.csv", "text,label\na,\n", ["column 'label': A text or a number is"]),
    "gzip cut": (
        "a.csv.gz",
        gzip.compress(b"text,label\n" + b"fine,1\n" * 9999)[:60],
        ["a.csv.gz cannot be read"],
    ),
    "no gzip in .gz": ("a.csv.gz", "text,label\na,1\n", ["a.csv.gz cannot be read from its begin"]),
    "another extension": ("a.xlsx", "", ["a.xlsx has an unsupported extension", ".csv, .tsv"]),
    "JSON cut": ("a.jsonl", '\n{"text"', ["row 1 (line 2): the line is not JSON"]),
    "JSON list": ("a.jsonl", "[1]\n", ["row 1 (line 1): the line is not a JSON object"]),
    "JSON too deep": ("a.jsonl", "[" * 100_000, ["row 1 (line 1): the line cannot be read"]),
    "JSON key twice": (
        "a.jsonl",
        '{"text": "a", "text": "b", "label": 1}',
        ["row 1 (line 1)", "same key twice"],
    ),
    "JSON lone surrogate": (
        "a.jsonl",
        '{"text": "\\ud800", "label": 1}',
        ["row 1 (line 1): column 'text': It is not UTF-8"],
    ),
    "JSON label null": (
        "a.jsonl",
        '{"text": "a", "label": null}',
        ["row 1 (line 1): column 'label' is None: A text or a number is needed"],
    ),
    "JSON label NaN": ("a.jsonl", '{"text": "a", "label": NaN}', ["column 'label' is nan"]),
    "JSON text missing": ("a.jsonl", '{"label": 1}', ["column 'text': Field required"]),
    "Parquet cut": ("a.parquet", b"PAR1 and no more", ["a.parquet cannot be read from its begin"]),
}


@pytest.mark.parametrize(("name", "content", "parts"), REFUSED.values(), ids=REFUSED)
def test_damaged_file_is_refused(
    tmp_path: Path, name: str, content: bytes | str, parts: list[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as raised:
        list(read_valid_rows(path, Columns("text", "label")))
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", None], "label": ["a", "b"]}, "row 2: column 'text'"),
        ({"text": [b"a"], "label": ["a"]}, "row 1: column 'text'"),
        ({"text": ["a"], "label": [[1]]}, "row 1: column 'label' is [1]"),
        ({"text": ["a"], "stars": [1]}, "no column 'label'. Its columns: 'text', 'stars'"),
    ],
)
def test_parquet_file_with_other_types_is_refused(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UserError) as raised:
        list(read_valid_rows(tmp_path / "a.parquet", Columns("text", "label")))
    assert message in str(raised.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file .*none\.csv"):
        list(read_rows(tmp_path / "none.csv", COLUMNS))


def test_too_long_a_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_CHARACTERS", 5)
    (tmp_path / "a.csv").write_text("text\nvalid\nlonger\n")
    short, long = read_rows(tmp_path / "a.csv", Columns("text"))
    assert isinstance(short, Row)
    assert isinstance(long, InvalidRow)
    assert "at most 5 characters" in long.problem


def test_byte_order_mark_and_further_columns_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(BOM + b"text,z,z,label\nfine,1,2,0\n")
    (tmp_path / "a.jsonl").write_bytes(BOM + b'{"text": "fine", "z": [], "label": "0"}\n')
    for path in list_tables(tmp_path):
        (row,) = read_valid_rows(path, Columns("text", "label"))
        assert (row.text, row.label) == ("fine", "0")


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ([1, 1.0, "1", "1.0"], "1"),
        ([-2, -2.0, "-2", "-2.00"], "-2"),
        ([0.5, "0.5"], "0.5"),
        ([True, "true", "True"], "true"),
        (["007"], "007"),
        (["1e5"], "1e5"),
        (["NA"], "NA"),
    ],
)
def test_equal_numbers_and_booleans_are_one_label(values: list[Any], label: str) -> None:
    assert {normalize_label(value) for value in values} == {label}


def test_rows_after_an_invalid_one_are_read_and_ids_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,fine\n2\n3,\xff\n4,"two\nlines"\n\n6, \n\xff,y\n')
    read = list(read_rows(path, Columns("text", id="id")))
    assert [row.location for row in read] == [
        f"{path}, row 1 (line 2)",
        f"{path}, row 2 (line 3)",
        f"{path}, row 3 (line 4)",
        f"{path}, row 4 (line 6)",
        f"{path}, row 5 (line 8)",
        f"{path}, row 6 (line 9)",
    ]
    assert [row.text for row in read if isinstance(row, Row)] == ["fine", "two\nlines"]
    assert [row.id for row in read] == ["1", None, "3", "4", "6", None]


def test_ids_of_any_kind_become_texts(tmp_path: Path) -> None:
    ids = [1, 2.5, None, "é", [1]]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": "fine", "nr": value}) for value in ids))
    read = list(read_valid_rows(path, Columns("text", id="nr")))
    assert [row.id for row in read] == ["1", "2.5", None, "é", "[1]"]


def test_problem_of_a_text_does_not_quote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_CHARACTERS", 20)
    texts = ["private " * 9, ["private"], {"private": 1}, "private \ud800"]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    problems = [row.problem for row in read_rows(path, Columns("text")) if not hasattr(row, "text")]
    assert len(problems) == len(texts)
    assert "private" not in "".join(problems)


def test_tables_of_a_folder_are_its_visible_files_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.jsonl", ".hidden.csv"):
        (tmp_path / name).touch()
    assert list_tables(tmp_path) == [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    assert list_tables(tmp_path / "b.csv") == [tmp_path / "b.csv"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is a folder without tables"):
        list_tables(tmp_path / "empty")
