"""`sentiment doubts` lists the doubtful labels of the table in params.yaml."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.command import Command
from tests.doubts.test_doubts import table
from tests.small_project import ROOT, change_params

SECRET = "dull"  # a word of the texts


@pytest.fixture
def own_table(params: Path) -> Path:
    """Return a folder whose params name own.csv, which has six wrong labels."""
    table().drop(columns="row").to_csv("own.csv", index=False)
    named = {"train": "own.csv", "test": "own.csv", "id": "id"}
    change_params(params / "params.yaml", {"fetch": {"dataset": "table", "table": named}})
    return params


def test_the_list_is_a_private_file_and_its_beginning_is_printed(
    own_table: Path, sentiment: Command
) -> None:
    printed = sentiment("doubts", "--count", "6")
    path = own_table / "data" / "doubts.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listed = pd.read_csv(path)
    columns = ["row", "id", "text", "label", "suggested_label", "probability"]
    assert listed.columns.tolist() == [*columns, "reason"]
    assert sorted(listed["row"]) == [1, 2, 3, 4, 5, 6]
    assert "Fold 5: accuracy 0." in printed
    assert "Cross-validated macro F1: 0." in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert SECRET in printed
    sentiment("doubts")  # replaces the list


def test_nothing_of_a_text_is_printed_without_log_texts(
    own_table: Path, sentiment: Command
) -> None:
    change_params(own_table / "params.yaml", {"evaluate": {"log_texts": False}})
    assert SECRET not in sentiment("doubts")


@pytest.mark.usefixtures("own_table")
def test_another_file_is_named_and_none_is_overwritten(sentiment: Command) -> None:
    sentiment("doubts", "--out", "wrong.csv")
    before = Path("wrong.csv").read_bytes()
    for name in ("wrong.csv", "own.csv"):
        assert f"{name} exists" in sentiment.fail("doubts", "--out", name)
    assert Path("wrong.csv").read_bytes() == before


@pytest.mark.usefixtures("params")
def test_imdb_is_refused(sentiment: Command) -> None:
    assert "sentiment dataset FILE" in sentiment.fail("doubts")


@pytest.mark.slow
@pytest.mark.usefixtures("own_table")
def test_no_tensorflow_is_imported() -> None:
    code = (
        "import sys\nfrom sentiment import cli\n"
        "try:\n    cli.main(['doubts'])\n"
        "except SystemExit as ended:\n    assert not ended.code\n"
        "print(sorted({'tensorflow', 'keras', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
