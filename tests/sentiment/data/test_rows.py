"""Read labeled texts from any supported file, and report problems with row and column."""

import gzip
import json
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


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path) -> list[Row]:
    return list(rows.read_labeled_rows(Source(path, str(path)), COLUMNS, max_characters=1000))


def as_parquet(path: Path, **columns: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def made(folder: Path, kind: str) -> Path:
    """A file of this kind with the rows of `GOOD`."""
    path = folder / f"reviews.{kind}"
    if kind.endswith((".gz", ".GZ")):
        return write(path, gzip.compress(made(folder, kind[:-3]).read_bytes()))
    if kind in ("csv", "TSV"):
        separator = "," if kind == "csv" else "\t"
        quoted = [(label, text.replace('"', '""')) for text, label in GOOD]
        lines = [f'{label}{separator}"{text}"' for label, text in quoted]
        return write(path, "\n".join([f"label{separator}text", *lines, ""]))
    if kind == "jsonl":
        values = [json.dumps({"text": text, "label": int(label)}) for text, label in GOOD]
        return write(path, "\n".join(values))
    texts, labels = zip(*GOOD, strict=True)
    return as_parquet(path, text=list(texts), label=[float(label) for label in labels])


@pytest.mark.parametrize("kind", ["csv", "TSV", "jsonl.GZ", "parquet"])
def test_each_file_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    assert [(row.text, row.label) for row in read(made(tmp_path, kind))] == GOOD


def test_byte_order_mark_and_windows_line_ends_are_ignored(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf\r\ntext,label\r\nfine,1\r\n\r\ndull,0\r\n"
    path = write(tmp_path / "a::b.csv", content)  # a name with colons is a name
    assert [(row.text, row.label) for row in read(path)] == [("fine", "1"), ("dull", "0")]


BAD_CSV = [
    ("", "from its beginning: the header has no column 'text' (fetch.table.text): none"),
    ("body,label\n", "the header has no column 'text' (fetch.table.text): 'body', 'label'"),
    ("text,label\na,1\nb\n", "at row 2 (line 3): it has 1 fields, the header 2"),
    ('text,label\na,1\n"b,1\n', "a.csv cannot be read after row 1 (line 2): unexpected end"),
    ("text,label\na,1\nb,\n", "row 2 (line 3), column 'label' is '': a text or a"),
    (b"text,label\na,1\n\xff,1\n", "a.csv cannot be read at row 2 (line 3): it is not UTF-8"),
    (f'text,label\n"{"a, " * 500}",1\n', "'text' has 1,500 characters, more than"),
]
BAD_JSON = [
    ('{"text": "a", "label": 1}\n{"text"\n', "at row 2 (line 2): it is not JSON"),
    ("\n[1]\n", "a.jsonl cannot be read at row 1 (line 2): it is list"),
    ('{"text": "a"}\n', "row 1 (line 1): it has no column 'label' (fetch.table.label): 'text'"),
    ('{"text": "a", "label": NaN}\n', "row 1 (line 1), column 'label' is nan: a text"),
    ('{"text": 5, "label": 1}\n', "column 'text' is 5: a text is needed."),
]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        *(("a.csv", *case) for case in BAD_CSV),
        *(("a.jsonl", *case) for case in BAD_JSON),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\n" * 999, mtime=0)[:40],
            "a.csv.gz cannot be read ",
        ),
        ("a.parquet", b"PAR1 and no more", "a.parquet cannot be read from its beginning: "),
        ("a.xlsx", b"", "has an unsupported extension. Use .csv, .tsv, .jsonl, .ndjson, .parquet"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_problem_is_reported_with_row_and_column(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as raised:
        read(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_parquet_text_of_another_type_is_refused(tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "a.parquet", text=[1, 2], label=["a", "b"])
    with pytest.raises(UserError, match=r"row 1, column 'text' is 1: a text is needed"):
        read(path)
