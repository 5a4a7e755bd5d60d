"""Read rows from good and damaged files of every supported format."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from sentiment.data.rows import (
    BinaryLabels,
    Columns,
    InvalidRow,
    Row,
    Source,
    read_rows,
    read_valid_rows,
)
from sentiment.errors import UserError

COLUMNS = Columns("text", "label")
MAX_CHARACTERS = 1000
GOOD = [
    ("A fine film.", "1"),
    ('She said "no", twice.\r\n\nThen left.', "0"),
    ("Élan, 日本", "1"),
    ("NA", "0"),
    ("7", "1"),
]
TWO = [("fine", "1"), ("dull", "0")]
HUGE = "x" * 10_000_000
BOM = b"\xef\xbb\xbf"
DEEP = "[" * 100_000
Case = tuple[str, str | bytes, list[tuple[str, str]] | list[str]]


def write_file(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, **columns: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def write_good_file(folder: Path, kind: str) -> Path:
    """Write a file of this kind with the rows of `GOOD`."""
    path = folder / f"reviews.{kind}"
    if kind.endswith((".gz", ".GZ")):
        return write_file(path, gzip.compress(write_good_file(folder, kind[:-3]).read_bytes()))
    if kind in ("csv", "TSV"):
        separator = "," if kind == "csv" else "\t"
        quoted = [(label, text.replace('"', '""')) for text, label in GOOD]
        lines = [f'{label}{separator}"{text}"' for label, text in quoted]
        return write_file(path, "\n".join([f"label{separator}text", *lines, ""]))
    if kind == "jsonl":
        values = [json.dumps({"text": text, "label": int(label)}) for text, label in GOOD]
        return write_file(path, "\n".join(values))
    texts, labels = zip(*GOOD, strict=True)
    return write_parquet(path, text=list(texts), label=[float(label) for label in labels])


def read_labeled(path: Path, max_characters: int = MAX_CHARACTERS) -> list[tuple[str, str]]:
    """Return the texts and labels of a file, which must have both labels."""
    rows = list(read_valid_rows(Source(path, path.name), COLUMNS, max_characters))
    labels = BinaryLabels(rows[0].label if rows else "1", "label")
    positive = np.array([labels.is_positive(row) for row in rows], np.uint8)
    labels.check_both_present(positive, path.name)
    return [(row.text, row.label) for row in rows]


def read_all(path: Path, columns: Columns, max_characters: int = 20) -> list[Row | InvalidRow]:
    return list(read_rows(Source(path, path.name), columns, max_characters))


@pytest.mark.parametrize("kind", ["csv", "TSV", "jsonl", "jsonl.GZ", "csv.gz", "parquet"])
def test_each_file_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    assert read_labeled(write_good_file(tmp_path, kind)) == GOOD


# By what is special about a file: its name, its content, and its rows or parts of the message.
CSV_FILES: dict[str, Case] = {
    "empty": ("a.csv", "", ["a.csv cannot be read from its beginning", "no column 'text'", "none"]),
    "header only": ("a.csv", "text,label\n", ["a.csv has no row"]),
    "column missing": ("a.csv", "body,label\n", ["no column 'text'", "'body', 'label'"]),
    "needed column twice": ("a.csv", "text,text,label\na,b,1\n", ["2 columns 'text'"]),
    "needed label twice": ("a.csv", "text,label,label\na,1,0\n", ["2 columns 'label'"]),
    "other column twice": ("a.csv", "z,text,label,z\n1,fine,1,2\n3,dull,0,4\n", TWO),
    "row too short": ("a.csv", "text,label\na,1\nb\n", ["row 2 (line 3)", "fields is 1"]),
    "row too long": ("a.csv", "text,label\na,1\nb,0,c\n", ["row 2 (line 3)", "fields is 3"]),
    "quote never closed": (
        "a.csv",
        'text,label\na,1\n"b,1\nc,0\n',
        ["after row 1 (line 2)", "Is a quote not closed?"],
    ),
    "quote never closed in a large file": (
        "a.csv",
        'text,label\na,1\n"b,1\n' + "c,0\n" * 50_000,
        ["after row 1 (line 2)", "field larger than", "Is a quote not closed?"],
    ),
    "quote closed rows later": (
        "a.csv",
        'text,label\na,1\n"b,1\nc,0\n"d",1\n',
        ["after row 1 (line 2)", "Is a quote not closed?"],
    ),
    "text after a closing quote": (
        "a.csv",
        'text,label\na,1\n"b" c,1\n',
        ["after row 1 (line 2)", "Is a quote not closed?"],
    ),
    "quotes inside a text": (
        "a.csv",
        'text,label\nI say "no",1\n"""no"", I say",0\n',
        [('I say "no"', "1"), ('"no", I say', "0")],
    ),
    "byte order mark": ("a.csv", BOM + b"text,label\nfine,1\ndull,0\n", TWO),
    "UTF-16": ("a.csv", "text,label\nfine,1\n".encode("utf-16"), ["no column 'text'"]),
    "Latin-1": (
        "a.csv",
        "text,label\na,1\nété,0\n".encode("latin-1"),
        ["row 2 (line 3): column 'text': It is not UTF-8"],
    ),
    "NUL in a text": ("a.csv", "text,label\na\0b,1\nc,0\n", [("a\0b", "1"), ("c", "0")]),
    "CR LF ends": ("a.csv", "text,label\r\nfine,1\r\ndull,0\r\n", TWO),
    "CR LF in a text": (
        "a.csv",
        'text,label\r\n"fi\r\nne",1\r\ndull,0\r\n',
        [("fi\r\nne", "1"), ("dull", "0")],
    ),
    "CR ends": ("a.csv", "text,label\rfine,1\rdull,0\r", TWO),
    "empty lines": ("a.csv", "\n\ntext,label\n\nfine,1\n\n\ndull,0\n\n", TWO),
    "line of spaces": ("a.csv", "text,label\na,1\n  \nb,0\n", ["row 2 (line 3)", "fields is 1"]),
    "cell of 10 MB": ("a.csv", f"text,label\n{HUGE},1\ndull,0\n", [(HUGE, "1"), ("dull", "0")]),
    "text too long": (
        "a.csv",
        f'text,label\na,1\n"{"b, " * 400}",0\n',
        ["row 2 (line 3): column 'text': "],
    ),
    "third label": (
        "a.csv",
        "text,label\na,1\nb,0\nc,2\n",
        ["row 3 (line 4)", "third label, '2'", "'1' (positive) and '0'"],
    ),
    "empty label": ("a.csv", "text,label\na,1\nb,\n", ["row 2 (line 3): column 'label': "]),
    "labels 1 and 1.0": (
        "a.csv",
        "text,label\na,1\nb,1.0\nc,0\n",
        [("a", "1"), ("b", "1"), ("c", "0")],
    ),
    "labels true and True": (
        "a.csv",
        "text,label\na,true\nb,True\nc,False\n",
        [("a", "true"), ("b", "true"), ("c", "false")],
    ),
    "one label only": ("a.csv", "text,label\na,1\nb,1\n", ["all of the 2 rows"]),
    "texts that look like values": (
        "a.csv",
        "text,label\nNA,1\nnull,0\nnan,1\n007,0\n1e5,1\n",
        [("NA", "1"), ("null", "0"), ("nan", "1"), ("007", "0"), ("1e5", "1")],
    ),
    "empty text": (
        "a.csv",
        "text,label\na,1\n,0\n",
        ["row 2 (line 3): column 'text': There"],
    ),
    "blank text": (
        "a.csv",
        'text,label\na,1\n" \t\u00a0",0\n',
        ["row 2 (line 3): column 'text': There is no text"],
    ),
    "semicolons": ("a.csv", "text;label\na;1\n", ["no column 'text'", "'text;label'"]),
    "space in the header": ("a.csv", "text, label\na,1\n", ["no column 'label'", "' label'"]),
    "comma at each end": ("a.csv", "text,label\na,1,\n", ["row 1 (line 2)", "fields is 3"]),
    "gzip without .gz": ("a.csv", gzip.compress(b"text,label\na,1\n"), ["no column 'text'"]),
    "gzip cut": (
        "a.csv.gz",
        gzip.compress(b"text,label\n" + b"fine,1\n" * 9999, mtime=0)[:60],
        ["a.csv.gz cannot be read"],
    ),
    "gzip cut after its header": (
        "a.csv.gz",
        gzip.compress(b"text,label\n", mtime=0)[:12],
        ["a.csv.gz cannot be read from its beginning"],
    ),
    "no gzip in .gz": ("a.csv.gz", "text,label\na,1\n", ["a.csv.gz cannot be read from its begin"]),
    "tabs and commas": (
        "a.tsv",
        "text\tlabel\nfine, really\t1\ndull\t0\n",
        [("fine, really", "1"), ("dull", "0")],
    ),
    "another extension": ("a.xlsx", "", ["unsupported extension", ".csv, .tsv, .jsonl, .ndjson"]),
    "no extension": ("texts", "", ["unsupported extension"]),
    "colons in the name": ("a::b.csv", "text,label\nfine,1\ndull,0\n", TWO),
}
FIRST = '{"text": "fine", "label": 1}\n'
BOTH = FIRST + '{"text": "dull", "label": 0}\n'
JSON_FILES: dict[str, Case] = {
    "other extension": ("a.ndjson", BOTH, TWO),
    "blank lines": ("a.jsonl", f"\n{BOTH}  \n", TWO),
    "empty": ("a.jsonl", "", ["a.jsonl has no row"]),
    "cut line": ("a.jsonl", BOTH + '{"text"', ["row 3 (line 3)", "not JSON"]),
    "line with a list": ("a.jsonl", f"\n{FIRST}[1]\n", ["row 2 (line 3)", "not a JSON object"]),
    "nested too deep": ("a.jsonl", FIRST + DEEP, ["row 2 (line 2)"]),
    "label missing": ("a.jsonl", BOTH + '{"text": "a"}', ["row 3 (line 3): column 'label': "]),
    "label null": (
        "a.jsonl",
        BOTH + '{"text": "a", "label": null}',
        ["row 3 (line 3): column 'label' is None"],
    ),
    "label NaN": (
        "a.jsonl",
        BOTH + '{"text": "a", "label": NaN}',
        ["row 3 (line 3): column 'label' is nan"],
    ),
    "label an object": (
        "a.jsonl",
        BOTH + '{"text": "a", "label": {"b": 1}}',
        ["row 3 (line 3): column 'label' is {'b': 1}"],
    ),
    "text a number": (
        "a.jsonl",
        BOTH + '{"text": 5, "label": 1}',
        ["row 3 (line 3): column 'text': "],
    ),
    "text null": (
        "a.jsonl",
        BOTH + '{"text": null, "label": 1}',
        ["row 3 (line 3): column 'text': "],
    ),
    "text missing": ("a.jsonl", BOTH + '{"label": 1}', ["row 3 (line 3): column 'text': "]),
    "text empty": (
        "a.jsonl",
        BOTH + '{"text": "", "label": 1}',
        ["row 3 (line 3): column 'text': There is no text"],
    ),
    "labels 1, 1.0, text and truth value": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b", "label": 1.0}\n'
        '{"text": "c", "label": "1"}\n{"text": "d", "label": true}\n',
        [("a", "1"), ("b", "1"), ("c", "1"), ("d", "true")],
    ),
    "texts that are dates": (
        "a.jsonl",
        '{"text": "2020-01-01", "label": 1}\n{"text": "2020-01-02T03:04:05Z", "label": 0}\n',
        [("2020-01-01", "1"), ("2020-01-02T03:04:05Z", "0")],
    ),
    "key twice": (
        "a.jsonl",
        BOTH + '{"text": "a", "text": "b", "label": 1}',
        ["row 3 (line 3)", "same key twice"],
    ),
    "lone surrogate": (
        "a.jsonl",
        BOTH + '{"text": "\\ud800", "label": 1}',
        ["row 3 (line 3): column 'text': It is not UTF-8"],
    ),
    "byte order mark": ("a.jsonl", BOM + BOTH.encode(), TWO),
    "bad UTF-8": (
        "a.jsonl",
        BOTH.encode() + b'{"text": "\xff", "label": 1}',
        ["row 3 (line 3): column 'text': It is not UTF-8"],
    ),
    "one array over lines": ("a.jsonl", '[\n{"text": "a", "label": 1}\n]\n', ["row 1 (line 1)"]),
    "cell of 10 MB": (
        "a.jsonl",
        f'{FIRST}{{"text": "{HUGE}", "label": 0}}\n',
        [("fine", "1"), (HUGE, "0")],
    ),
    "other keys": ("a.jsonl", FIRST + '{"z": [], "text": "dull", "label": 0, "y": 1}\n', TWO),
}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        *(pytest.param(*case, id=f"csv: {key}") for key, case in CSV_FILES.items()),
        *(pytest.param(*case, id=f"json: {key}") for key, case in JSON_FILES.items()),
        pytest.param("a.parquet", b"PAR1 and no more", ["from its beginning"], id="parquet: cut"),
    ],
)
def test_text_file_is_read_exactly_or_refused(
    tmp_path: Path, name: str, content: str | bytes, expected: list[Any]
) -> None:
    check(write_file(tmp_path / name, content), expected)


def check(path: Path, expected: list[Any]) -> None:
    """Check the rows of a file, or the parts of the message that refuses it."""
    max_characters = len(HUGE) if (HUGE, "1") in expected or (HUGE, "0") in expected else 1000
    if isinstance(expected[0], tuple):
        assert read_labeled(path, max_characters) == expected
        return
    with pytest.raises(UserError) as raised:
        read_labeled(path)
    for part in (path.name, *expected):
        assert part in str(raised.value)


PARQUET_FILES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "text a number": ({"text": [1, 2], "label": ["a", "b"]}, ["row 1: column 'text'"]),
    "text of bytes": ({"text": [b"a", b"b"], "label": ["a", "b"]}, ["row 1: column 'text'"]),
    "text null": ({"text": ["a", None], "label": ["a", "b"]}, ["row 2: column 'text'"]),
    "text empty": ({"text": ["a", ""], "label": ["a", "b"]}, ["row 2: column 'text': There is"]),
    "label null": ({"text": ["a", "b"], "label": ["a", None]}, ["row 2: column 'label' is None"]),
    "label a list": ({"text": ["a"], "label": [[1]]}, ["row 1: column 'label' is [1]"]),
    "labels float": ({"text": ["fine", "dull"], "label": [1.0, 0.0]}, TWO),
    "labels truth values": (
        {"text": ["fine", "dull"], "label": [True, False]},
        [("fine", "true"), ("dull", "false")],
    ),
    "dictionaries": (
        {
            "text": pyarrow.array(["fine", "dull"]).dictionary_encode(),
            "label": pyarrow.array(["1", "0"]).dictionary_encode(),
        },
        TWO,
    ),
    "column missing": ({"text": ["a"], "stars": [1]}, ["no column 'label'", "'text', 'stars'"]),
}


@pytest.mark.parametrize("case", PARQUET_FILES)
def test_parquet_file_is_read_exactly_or_refused(tmp_path: Path, case: str) -> None:
    columns, expected = PARQUET_FILES[case]
    check(write_parquet(tmp_path / "a.parquet", **columns), expected)


def test_parquet_file_with_the_same_column_twice_is_refused(tmp_path: Path) -> None:
    arrays = [pyarrow.array(["a"]), pyarrow.array(["b"]), pyarrow.array(["1"])]
    table = pyarrow.Table.from_arrays(arrays, ["text", "text", "label"])
    parquet.write_table(table, tmp_path / "a.parquet")
    check(tmp_path / "a.parquet", ["2 columns 'text'"])


def test_rows_after_an_invalid_one_are_read_and_ids_are_kept(tmp_path: Path) -> None:
    content = b'nr,text\n1,fine\n2\n3,\xff\n4,"two\nlines"\n\n5,' + b"x" * 21 + b"\n6, \n\xff,y\n"
    rows = read_all(write_file(tmp_path / "a.csv", content), Columns("text", id="nr"))
    assert [row.location for row in rows] == [
        "a.csv, row 1 (line 2)",
        "a.csv, row 2 (line 3)",
        "a.csv, row 3 (line 4)",
        "a.csv, row 4 (line 6)",
        "a.csv, row 5 (line 8)",
        "a.csv, row 6 (line 9)",
        "a.csv, row 7 (line 10)",
    ]
    assert [row.text for row in rows if isinstance(row, Row)] == ["fine", "two\nlines"]
    assert [row.id for row in rows] == ["1", None, "3", "4", "5", "6", None]


def test_problem_of_a_text_does_not_quote_it(tmp_path: Path) -> None:
    lines = ["private " * 9, ["private"], {"private": 1}, "private \ud800"]
    content = "\n".join(json.dumps({"text": text}) for text in lines)
    rows = read_all(write_file(tmp_path / "a.jsonl", content), Columns("text"))
    problems = [row.problem for row in rows if isinstance(row, InvalidRow)]
    assert len(problems) == len(lines)
    assert "private" not in "".join(problems)


def test_ids_of_any_kind_become_texts(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"nr": 1},
        {"nr": 2.5},
        {"nr": None},
        {"nr": "é"},
        {"nr": [1]},
        {},
    ]
    content = "\n".join(json.dumps({"text": "fine", **line}) for line in lines)
    rows = read_all(write_file(tmp_path / "a.jsonl", content), Columns("text", id="nr"))
    assert [row.id for row in rows] == ["1", "2.5", None, "é", "[1]", None]
    assert [isinstance(row, Row) for row in rows] == [True] * 5 + [False]


def test_column_may_be_read_as_text_and_as_id(tmp_path: Path) -> None:
    rows = read_all(
        write_parquet(tmp_path / "a.parquet", text=["fine"]), Columns("text", id="text")
    )
    assert [(row.text, row.id) for row in rows if isinstance(row, Row)] == [("fine", "fine")]
