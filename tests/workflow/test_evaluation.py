"""Tables with texts are read back as they were, and are safe to open in a spreadsheet."""

import csv
from pathlib import Path

import pandas as pd

from workflow.evaluation import read_table, write_table


def test_no_text_is_a_formula_in_a_spreadsheet_and_each_is_read_back_as_it_was(
    tmp_path: Path,
) -> None:
    signs = ["=", "+", "-", "@", "'", "''", "＝", "\ufeff=", '"=', "\t", "\r", "\n", " =", "7", "a"]
    texts = [f'{sign}HYPERLINK("http://h")\r=1+1,{sign}' for sign in signs]
    path = tmp_path / "mistakes.csv"
    write_table(path, pd.DataFrame({"seen": [True] * len(texts), "text": texts}))
    with path.open(encoding="utf-8", newline="") as file:
        assert {row["text"][0] for row in csv.DictReader(file)} == {"'", "7", "a"}
    table = read_table(path)
    assert table["text"].tolist() == texts
    assert table["seen"].dtype == bool
