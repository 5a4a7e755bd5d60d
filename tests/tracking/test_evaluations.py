"""Predictions are read back as they were written."""

from pathlib import Path

import numpy as np
import pandas as pd

from sentiment.project.files.documents import write_table
from sentiment.tracking.evaluations import read_predictions


def test_labels_that_a_spreadsheet_takes_for_formulas_are_read_back(tmp_path: Path) -> None:
    predictions = pd.DataFrame(
        {
            "text_id": ["0", "1", "2"],
            "actual": ["=1+1", "null", "-1"],
            "predicted": ["-1", "=1+1", "null"],
            "probability_=1+1": np.array([0.1, 0.8, 0.3], np.float32),
            "probability_null": np.array([0.3, 0.1, 0.4], np.float32),
            "probability_-1": np.array([0.6, 0.1, 0.3], np.float32),
        }
    )
    write_table(tmp_path / "predictions.csv", predictions)
    assert " =1+1" in (tmp_path / "predictions.csv").read_text()
    read = read_predictions(tmp_path / "predictions.csv")
    pd.testing.assert_frame_equal(read, predictions, check_exact=True)
