"""Tables with texts are read back as they were, and are safe to open in a spreadsheet."""

import csv
from pathlib import Path

import pandas as pd

from workflow.outputs import read_table, write_table

STARTS = ["=", "+", "-", "@", "'", "''", "＝", "\ufeff=", '"=', "\t", "\r", "\n", " =", "7", "a"]
TEXTS = [f'{start}HYPERLINK("http://h")\r=1+1,{start}' for start in STARTS]


def test_no_text_of_a_table_is_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "mistakes.csv"
    write_table(path, pd.DataFrame({"text": TEXTS}))
    with path.open(encoding="utf-8", newline="") as file:
        assert {row["text"][0] for row in csv.DictReader(file)} == {"'", "7", "a"}


def test_table_with_texts_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mistakes.csv"
    write_table(path, pd.DataFrame({"seen": [True] * len(TEXTS), "text": TEXTS}))
    table = read_table(path)
    assert table["text"].tolist() == TEXTS
    assert table["seen"].dtype == bool
