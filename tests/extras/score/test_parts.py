"""Each row has its prediction or an error, and files are written whole or not at all."""

import stat
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from pyarrow import csv, parquet

from extras.score import parts
from extras.score.parts import Part
from sentiment.data.rows import Row
from sentiment.prediction.pyfunc_model import Prediction

LABELS = ["bad", "good"]
PART = Part(1, [Row(1, "So fine", "good", "a"), Row(2, "", "", "b"), Row(3, "Fine")])


class AlwaysGood:
    """A model to which all texts are good."""

    label_names = LABELS

    def predict_texts(self, texts: Sequence[str]) -> list[Prediction]:
        probabilities = {"bad": 0.25, "good": 0.75}
        return [
            Prediction("good", 0.75, probabilities, len(text.split()), 1, False) for text in texts
        ]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of the predictions for `PART`."""
    monkeypatch.setattr(parts, "cached_model", lambda _: AlwaysGood())
    path = tmp_path / "part.parquet"
    parts.write_part(path, parts.predict_part(PART, "model")[1])
    return path


def test_row_without_a_text_has_an_error_in_place_of_a_prediction(path: Path) -> None:
    table = parquet.read_table(path)
    columns = ["probability_bad", "probability_good", "words", "unknown_words", "error"]
    assert table.column_names == ["row", "id", "actual", "label", *columns]
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        (1, "a", "good", "good", 0.25, 0.75, 2, 1, None),
        (2, "b", None, None, None, None, None, None, "There is no text"),
        (3, None, None, "good", 0.25, 0.75, 1, 1, None),
    ]


def test_predictions_are_read_as_the_metrics_need_them(path: Path) -> None:
    table = parts.read_part(path)
    assert table["review"].tolist() == [1, 3]
    assert table["predicted"].tolist() == ["good", "good"]
    assert table["words"].dtype == "int32"


@pytest.mark.parametrize("extension", [".csv", ".parquet"])
def test_parts_are_joined_in_a_private_file(extension: str, path: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out{extension}"
    parts.join_parts([path, path], out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    read = csv.read_csv(out).to_pandas() if extension == ".csv" else pd.read_parquet(out)
    assert read["row"].tolist() == [1, 2, 3, 1, 2, 3]
    assert read["words"].fillna(0).tolist() == [2, 0, 1, 2, 0, 1]


def test_file_that_cannot_be_written_whole_is_not_there(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        parts.join_parts([path, tmp_path / "lost"], tmp_path / "out.csv")
    assert [*tmp_path.iterdir()] == [path]


def test_part_is_shown_without_its_texts() -> None:
    assert repr(PART) == "Part(number=1)"
