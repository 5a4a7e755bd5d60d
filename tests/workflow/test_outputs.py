"""Tables with texts are safe to open in a spreadsheet, and keep the texts as they are otherwise."""

import csv
from pathlib import Path

import pandas as pd

from workflow.outputs import write_table

STARTS = ["=", "+", "-", "@", "'", "''", "＝", "\ufeff=", '"=', "\t", "\r", "\n", " =", "7", "a"]
TEXTS = [f'{start}HYPERLINK("http://h")\r=1+1,{start}' for start in STARTS]


def test_text_that_may_be_a_formula_gets_an_apostrophe_and_is_not_changed_otherwise(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mistakes.csv"
    write_table(path, pd.DataFrame({"text": TEXTS}))
    with path.open(encoding="utf-8", newline="") as file:
        written = [row["text"] for row in csv.DictReader(file)]
    assert {text[0] for text in written} == {"'", "7", "a"}
    assert [text.removeprefix("'") for text in written] == TEXTS
