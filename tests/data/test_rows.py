"""Read rows from good and damaged files of every supported format."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any
from unicodedata import category

import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sentiment.data.rows import Columns, Row, column_names, list_tables, read_rows
from sentiment.errors import UserError

COLUMNS = Columns("text", "label", "id")
LABELED = Columns("text", "label")
BOM = b"\xef\xbb\xbf"
KINDS = ["csv", "TSV", "csv.gz", "jsonl", "ndjson.GZ", "parquet"]
LABELED_ROWS = st.lists(
    st.tuples(
        st.text().filter(lambda text: any(category(char)[0] not in "CZ" for char in text)),
        st.sampled_from(["positive", "no", "1", "été", "2020-01-01"]),
        st.text(),
    )
)


def write_rows(path: Path, content: list[tuple[str, str, str]]) -> None:
    """Write rows of text, label and id in the format that a file's name asks for."""
    kind = path.name.lower().split(".")[1]
    if kind == "parquet":
        schema = pyarrow.schema(dict.fromkeys(COLUMNS, pyarrow.string()))
        records = [dict(zip(COLUMNS, row, strict=True)) for row in content]
        parquet.write_table(pyarrow.Table.from_pylist(records, schema), path)
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
    assert [tuple(row[1:]) for row in read_rows(path, COLUMNS)] == content


FINE = '{"text": "fine", "label": 1}\n'
REFUSED: dict[str, tuple[str, bytes | str, str]] = {
    "no column": ("a.csv", "body,label\n", "no column 'text'. Its columns: 'body', 'label'"),
    "empty": ("a.csv", "", "a.csv has no column 'text'. Its columns: none"),
    "column twice": ("a.csv", "text,label,label\na,1,0\n", "2 columns 'label'"),
    "row too short": ("a.csv", "text,label\na,1\nsecret\n", "row 2 (line 3): the header has"),
    "row too long": (
        "a.csv",
        "text,label\na,1\nsecret,0,c\n",
        "2 fields, but this row has 3",
    ),
    "text after a closing quote": ("a.csv", 'text,label\n"secret"b,1\n', "row 1: ',' expected"),
    "quote closed rows later": (
        "a.csv",
        'text,label\na,1\n"secret,1\nc,0\n"d",1\n',
        "row 2: ',' expected after '\"'; perhaps a quote is not closed",
    ),
    "quote never closed": ("a.csv", 'text,label\na,1\n"secret,1\n', "a quote is not closed"),
    "Latin-1": ("a.csv", "text,label\na,1\nsecreté,0\n".encode("latin-1"), "row 2: it is not UTF"),
    "UTF-16": (
        "a.csv",
        "text,label\na,1\n".encode("utf-16"),
        "it looks like UTF-16",
    ),
    "blank label": ("a.csv", "text,label\na, \n", "row 1: column 'label': a text or a number"),
    "label of two lines": ("a.csv", 'text,label\na,"1\n2"\n', "a label has at most 100"),
    "too long a label": ("a.csv", f"text,label\na,{'b' * 101}\n", "a label has at most 100"),
    "empty label": ("a.csv", "text,label\na,\n", "row 1: column 'label': a text or a number is"),
    "gzip cut": ("a.csv.gz", gzip.compress(b"text,label\nfine,1\n")[:-9], "file ended before"),
    "no gzip in .gz": ("a.jsonl.gz", FINE, "Not a gzipped file"),
    "another extension": ("a.xlsx", "", "a.xlsx has an unsupported extension. Use .csv, .tsv"),
    "JSON cut": ("a.jsonl", FINE + '\n{"text": "secret', "row 2: the line is not"),
    "JSON list": ("a.jsonl", "[1]\n", "row 1: the line is not a JSON object"),
    "JSON list over lines": ("a.jsonl", f"[\n{FINE}]", "row 1: the line is not a JSON object"),
    "JSON too deep": ("a.jsonl", "[" * 100_000, "row 1: the line is not a JSON object"),
    "JSON key twice": ("a.jsonl", '{"text": "a", "text": "b", "label": 1}', "the same key twice"),
    "JSON two on a line": ("a.jsonl", f"{FINE[:-1]} {FINE}", "row 1: the line is not a"),
    "JSON lone surrogate": ("a.jsonl", '{"text": "secret\\ud800", "label": 1}', "row 1: it is"),
    "JSON Latin-1": (
        "a.jsonl",
        '{"text": "secreté", "label": 1}'.encode("latin-1"),
        "row 1: it is not UTF-8",
    ),
    "JSON label null": ("a.jsonl", '{"text": "a", "label": null}', "row 1: column 'label'"),
    "JSON label NaN": ("a.jsonl", '{"text": "a", "label": NaN}', "row 1: column 'label'"),
    "JSON column missing": ("a.jsonl", '{"label": 1}', "no column 'text'. Its columns: 'label'"),
    "JSON text a number": ("a.jsonl", FINE + '{"text": 123, "label": 1}', "row 2: column 'text'"),
    "Parquet cut": ("a.parquet", b"PAR1 and no more", "a.parquet cannot be read: Parquet magic"),
}


@pytest.mark.parametrize(("name", "content", "message"), REFUSED.values(), ids=REFUSED)
def test_damaged_file_is_refused_without_its_text(
    tmp_path: Path, name: str, content: bytes | str, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as raised:
        list(read_rows(path, LABELED))
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", "b"], "label": ["a", None]}, "row 2: column 'label': a text or a number"),
        (
            {"text": [b"secret"], "label": ["a"]},
            "row 1: column 'text' has a value that is not a text",
        ),
        ({"text": ["a"], "label": [[1]]}, "row 1: column 'label': a text or a number is needed"),
        ({"text": ["a"], "stars": [1]}, "no column 'label'. Its columns: 'text', 'stars'"),
    ],
)
def test_parquet_file_with_other_types_is_refused(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UserError) as raised:
        list(read_rows(tmp_path / "a.parquet", LABELED))
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file .*none\.csv"):
        list(read_rows(tmp_path / "none.csv", COLUMNS))


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        ("a.csv", "{}\n", "field larger than field limit (1000000); perhaps a quote is not closed"),
        (
            "a.jsonl",
            '{{"text": "{}"}}\n',
            "column 'text': the text has 1,000,001 characters, more than 1,000,000",
        ),
    ],
)
def test_a_text_of_more_than_a_million_characters_is_refused(
    tmp_path: Path, name: str, row: str, problem: str
) -> None:
    header = "text\n" if name == "a.csv" else ""
    texts = ("a" * 1_000_000, "a" * 1_000_001)
    (tmp_path / name).write_text(header + "".join(map(row.format, texts)))
    read = read_rows(tmp_path / name, Columns("text"))
    assert next(read).text == texts[0]
    with pytest.raises(UserError) as raised:
        next(read)
    assert str(raised.value).endswith(f", row 2: {problem}. Correct this row, or remove it.")


def test_byte_order_mark_and_further_columns_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(BOM + b"text,z,z,label\nfine,1,2,0\n")
    (tmp_path / "a.jsonl").write_bytes(BOM + b'{"text": "fine", "z": [], "label": 0}\n')
    for path in list_tables(tmp_path):
        assert list(read_rows(path, LABELED)) == [Row(1, "fine", "0")]


def test_blank_texts_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "text": " \u200b"}\n{"id": 2}\n{"id": 3, "text": "fine"}\n')
    read = list(read_rows(path, Columns("text", id="id")))
    assert read == [Row(1, "", id="1"), Row(2, "", id="2"), Row(3, "fine", id="3")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,review,stars\n1,Fine.,5\n"),
        ("a.tsv", "id\treview\tstars\n1\tFine.\t5\n"),
        ("a.jsonl", '{"id": 1, "review": "Fine.", "stars": 5}\n'),
    ],
)
def test_all_columns_have_their_names(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert column_names(tmp_path / name) == ["id", "review", "stars"]


def test_columns_of_parquet_have_their_names(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"review": ["a"], "stars": [1]}), tmp_path / "a.parquet")
    assert column_names(tmp_path / "a.parquet") == ["review", "stars"]


def test_tables_of_a_folder_are_its_visible_files_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.jsonl", ".hidden.csv"):
        (tmp_path / name).touch()
    assert list_tables(tmp_path) == [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    assert list_tables(tmp_path / "b.csv") == [tmp_path / "b.csv"]


def test_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder without tables"):
        list_tables(tmp_path)
