"""Each row has its prediction or an error, and a file is written whole or not at all."""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv

from sentiment.data.rows import Row
from sentiment.prediction.pyfunc_model import Prediction
from sentiment.score import predictions

LABELS = ["bad", "good"]
ROWS = [Row(1, "So fine", "good", "a"), Row(2, "", "", "b"), Row(3, "Fine")]


class AlwaysGood:
    """A model to which all texts are good."""

    label_names = LABELS

    def predict_texts(self, texts: Sequence[str]) -> list[Prediction]:
        probabilities = {"bad": 0.25, "good": 0.75}
        return [Prediction("good", 0.75, probabilities, len(text.split()), 1) for text in texts]


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[pa.Table]:
    """Return the predictions for `ROWS`, in tables of two rows."""
    monkeypatch.setattr(predictions, "ROWS_AT_ONCE", 2)
    return predictions.predict_rows(AlwaysGood(), ROWS)  # type: ignore[arg-type]


def test_row_without_a_text_has_an_error_in_place_of_a_prediction(
    tables: Iterator[pa.Table],
) -> None:
    table = pa.concat_tables(tables)
    columns = ["probability_bad", "probability_good", "words", "unknown_words", "error"]
    assert table.column_names == ["row", "id", "actual", "label", *columns]
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        (1, "a", "good", "good", 0.25, 0.75, 2, 1, None),
        (2, "b", None, None, None, None, None, None, "There is no text"),
        (3, None, None, "good", 0.25, 0.75, 1, 1, None),
    ]


def test_predictions_are_as_the_metrics_need_them(tables: Iterator[pa.Table]) -> None:
    made = pd.concat(map(predictions.without_errors, tables))
    assert made["row"].tolist() == [1, 3]
    assert made["predicted"].tolist() == ["good", "good"]
    assert made["words"].dtype == "int32"


@pytest.mark.parametrize("extension", [".csv", ".parquet"])
def test_tables_are_written_to_a_private_file_as_they_pass(
    extension: str, tables: Iterator[pa.Table], tmp_path: Path
) -> None:
    out = tmp_path / f"out{extension}"
    passed = list(predictions.write_each(tables, out, LABELS))
    assert [table.num_rows for table in passed] == [2, 1]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    read = csv.read_csv(out).to_pandas() if extension == ".csv" else pd.read_parquet(out)
    assert read["row"].tolist() == [1, 2, 3]
    assert read["words"].fillna(0).tolist() == [2, 0, 1]


def test_file_that_cannot_be_written_whole_is_not_there(
    tables: Iterator[pa.Table], tmp_path: Path
) -> None:
    def fail_after_the_first() -> Iterator[pa.Table]:
        yield next(tables)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        list(predictions.write_each(fail_after_the_first(), tmp_path / "out.csv", LABELS))
    assert [*tmp_path.iterdir()] == []


def test_ids_and_labels_are_no_formulas() -> None:
    assert predictions.guard_names(["=a", "b", None]) == [" =a", "b", None]
