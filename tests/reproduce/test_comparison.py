"""The results of a run are compared with later ones, and the table says what differs."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentiment.reproduce.comparison import (
    Comparison,
    compare_outs,
    describe_comparison,
    describe_predictions,
)
from sentiment.reproduce.record import RecordedRun

RUN = RecordedRun("a1", "default", {"mlflow.source.git.commit": "0123"}, Path())


def stages(model: str) -> dict[str, Any]:
    """Return the stages of a dvc.lock."""
    return {
        "fetch": {"outs": [{"path": "data/fetch", "md5": "1.dir"}]},
        "pad": {"outs": [{"path": "data/pad", "md5": "2.dir"}]},
        "train": {"outs": [{"path": "data/train", "md5": model}]},
    }


def test_results_are_equal_or_differ_and_data_of_dvc_are_not_compared() -> None:
    assert compare_outs(stages("3.dir"), stages("4.dir"), ["pad", "train", "evaluate"]) == {
        "data/fetch": "from DVC",
        "data/pad": "equal",
        "data/train": "DIFFERS",
    }


def predictions(*probabilities: float) -> pd.DataFrame:
    """Return predictions of positive texts."""
    return pd.DataFrame(
        {
            "review": range(len(probabilities)),
            "actual": "positive",
            "predicted": ["positive" if p > 0.5 else "negative" for p in probabilities],
            "probability_positive": probabilities,
        }
    )


def test_predictions_are_compared_by_accuracy_and_probability() -> None:
    assert describe_predictions(predictions(0.9, 0.2), predictions(0.7, 0.6)) == (
        "Test accuracy 0.5000 then, 1.0000 now. The probabilities differ by at most 0.4."
    )


@pytest.mark.parametrize(
    ("state", "last"),
    [("equal", "All compared results are the same, bit for bit."), ("DIFFERS", "Test accuracy …")],
)
def test_the_table_has_the_results_and_the_machine(state: str, last: str) -> None:
    comparison = Comparison({"data/pad": state}, {"keras": ("3.1", "3.2")}, "Test accuracy …")
    assert describe_comparison(RUN, comparison).splitlines() == [
        "Run a1: default, commit 0123",
        f"  data/pad                       {state}",
        "  keras: 3.1 then, 3.2 now",
        last,
    ]
    assert comparison.is_equal == (state == "equal")
