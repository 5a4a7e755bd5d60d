"""Labelled texts come from any usual file, and what is wrong with one is said by row and column."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from sentiment.data import rows
from sentiment.data.rows import Columns, Row, Source
from sentiment.errors import UserError

COLUMNS = Columns("text", "label")
GOOD = [
    ("A fine film.", "1"),
    ('She said "no", twice.\r\n\nThen left.', "0"),
    ("Élan, 日本", "1"),
    ("NA", "0"),
    ("7", "1"),
]
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, columns: Columns = COLUMNS, longest: int = 1000) -> list[Row]:
    return list(rows.read(Source(path, str(path)), columns, longest))


def as_csv(separator: str) -> str:
    lines = [f'{label}{separator}"{text.replace(chr(34), 2 * chr(34))}"' for text, label in GOOD]
    return "\n".join([f"label{separator}text", *lines, ""])


def as_json(values: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in values)


def as_parquet(path: Path, **columns: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def made(folder: Path, kind: str) -> Path:
    """A file of this kind with the rows of `GOOD`."""
    path = folder / f"reviews.{kind}"
    if compress := COMPRESSORS.get(path.suffix.lower()):
        return write(path, compress(made(folder, kind.partition(".")[0]).read_bytes()))
    if kind in ("csv", "tsv", "TSV"):
        return write(path, as_csv("," if kind == "csv" else "\t"))
    if kind == "jsonl":
        return write(path, as_json([{"text": text, "label": int(label)} for text, label in GOOD]))
    texts, labels = zip(*GOOD, strict=True)
    return as_parquet(path, text=list(texts), label=[float(label) for label in labels])


@pytest.mark.parametrize(
    "kind", ["csv", "tsv", "TSV", "csv.gz", "tsv.bz2", "jsonl.XZ", "jsonl", "parquet"]
)
def test_each_kind_of_file_has_the_same_rows(tmp_path: Path, kind: str) -> None:
    assert [(row.text, row.label) for row in read(made(tmp_path, kind))] == GOOD


def test_a_label_that_is_no_text_is_written_as_json_has_it(tmp_path: Path) -> None:
    labels = [True, 1, 0.0, "yes", 0.5]
    path = write(tmp_path / "a.jsonl", as_json([{"text": "a", "label": label} for label in labels]))
    assert [row.label for row in read(path)] == ["true", "1", "0", "yes", "0.5"]


def test_a_mark_of_byte_order_and_windows_line_ends_are_no_part_of_the_rows(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf\r\ntext,label\r\nfine,1\r\n\r\ndull,0\r\n"
    path = write(tmp_path / "a::b.csv", content)  # a name with colons is a name
    assert [(row.text, row.label) for row in read(path)] == [("fine", "1"), ("dull", "0")]


def test_a_group_is_read_where_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label,author\nfine,1,Ann\n")
    assert read(path)[0].group == ""
    assert read(path, Columns("text", "label", "author"))[0].group == "Ann"


BAD_CSV = [
    ("", "from its beginning: the header has no column 'text' (fetch.table.text): none"),
    ("body,label\n", "the header has no column 'text' (fetch.table.text): 'body', 'label'"),
    ("text,label,text\n", "more than one column 'text' (fetch.table.text): 'text',"),
    ("text,label\na,1\nb\n", "after row 1 (line 2): line 3 has 1 fields, the header 2"),
    ("text,label\na,1\nb,c,1\n", "line 3 has 3 fields, the header 2"),
    ('text,label\na,1\n"b,1\n', "a.csv cannot be read after row 1 (line 2): unexpected end"),
    ('text,label\n"a"b,1\n', "a.csv cannot be read from its beginning: ',' expected"),
    ("text,label\na,1\nb,\n", "row 2 (line 3), column 'label' is '': a text or a"),
    (b"text,label\na,1\n\xff,1\n", "a.csv cannot be read after row 1 (line 2): 'utf-8'"),
    (f'text,label\n"{"a, " * 500}",1\n', "'text' has 1,500 characters, more than"),
]
BAD_JSON = [
    ('{"text": "a", "label": 1}\n{"text"\n', "after row 1 (line 1): line 2 is not JSON"),
    ("\n[1]\n", "a.jsonl cannot be read from its beginning: line 2 is list"),
    ('{"text": "a"}\n', "line 1 has no column 'label' (fetch.table.label): 'text'"),
    ("{}\n", "line 1 has no column 'text' (fetch.table.text): none"),
    ('{"text": "a", "label": NaN}\n', "row 1 (line 1), column 'label' is nan: a text"),
    ('{"text": ' + "[" * 100_000, "line 1 is nested too deeply"),
    ('{"text": 5, "label": 1}\n', "column 'text' is 5: a text is needed."),
    ('{"text": null, "label": 1}\n', "column 'text' is None: a text is needed."),
    ('{"text": "a", "label": [1]}\n', "column 'label' is [1]: a text or a"),
    ('{"text": "\\ud800", "label": 1}\n', "row 1 (line 1), column 'text' is not Unicode"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        *(("a.csv", *case) for case in BAD_CSV),
        *(("a.jsonl", *case) for case in BAD_JSON),
        ("a.csv.gz", b"\x1f\x8b\x08\x00broken", "a.csv.gz cannot"),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\n" * 999, mtime=0)[:40],
            "a.csv.gz cannot be read ",
        ),
        ("a.parquet", b"PAR1 and no more", "a.parquet cannot be read from its beginning: "),
        ("a.xlsx", b"", "ends in none of .csv, .tsv, .jsonl, .ndjson, .parquet"),
        ("a", b"", "ends in none of .csv"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_said_by_row_and_column(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as raised:
        read(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_parquet_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path, "parquet")
    write(path, path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"reviews\.parquet cannot be read"):
        read(path)


def test_parquet_texts_of_another_type_or_not_in_utf8_are_named(tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "a.parquet", text=[1, 2], label=["a", "b"])
    with pytest.raises(UserError, match=r"row 1, column 'text' is 1: a text is needed"):
        read(path)
    texts = pyarrow.array([b"fine", b"\xff"]).cast(pyarrow.binary())
    bad = pyarrow.Array.from_buffers(pyarrow.string(), 2, texts.buffers())
    path = as_parquet(tmp_path / "b.parquet", text=bad, label=["1", "0"])
    with pytest.raises(UserError, match=r"b\.parquet cannot be read after row 1: 'utf-8'"):
        read(path)


@pytest.mark.parametrize(("name", "start", "line"), [("a.jsonl", "", 1), ("a.csv", "text,b\n", 2)])
def test_a_file_without_line_ends_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, start: str, line: int
) -> None:
    monkeypatch.setattr(rows, "BYTES_AT_ONCE", 1000)
    path = write(tmp_path / name, start + "x" * 10_000)
    with pytest.raises(UserError, match=rf"line {line} has more than 2,200 bytes"):
        read(path, Columns("text", "b"), longest=100)
