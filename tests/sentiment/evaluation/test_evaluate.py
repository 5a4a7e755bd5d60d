"""An evaluation has metrics, tables and plots."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest

from sentiment.evaluation.evaluate import evaluate_predictions, plot_training, predictions_table

TEXTS = {2: "the film fails", 0: "the", 3: "fails fails fails fails", 1: "the film"}
GRADIENTS = pd.DataFrame(
    {"distance": [0, 1, 2], "mean": [1.0, 0.5, 0.001], "low": [0.5, 0.1, 0.0], "high": 1.5}
)
HISTORY = {"epoch": [1], "accuracy": 0.5, "val_accuracy": 0.5, "loss": 0.7, "val_loss": 0.7}


def table_of(probabilities: list[float], threshold: float = 0.5) -> pd.DataFrame:
    """Return the predictions of four reviews. They are in another order than their texts."""
    return predictions_table(
        review=np.array(list(TEXTS)),
        y=np.array([0, 0, 1, 1], np.uint8),
        probabilities=np.array(probabilities, np.float32),
        threshold=threshold,
        words=np.array([3, 1, 4, 2]),
        unknown_words=np.array([1, 0, 2, 0]),
        seen=np.array([False, False, False, True]),
    )


def look_up(numbers: Iterable[int]) -> list[str]:
    return [TEXTS[number] for number in numbers]


def test_table_has_a_row_for_each_review() -> None:
    table = table_of([0.9, 0.2, 0.6, 0.1])
    assert table.iloc[2].to_dict() == {
        "review": 3,
        "actual": "positive",
        "predicted": "positive",
        "probability_negative": np.float32(1) - np.float32(0.6),
        "probability_positive": np.float32(0.6),
        "words": 4,
        "unknown_words": 2,
        "seen_in_training": False,
    }
    assert table["actual"].tolist() == ["negative", "negative", "positive", "positive"]
    assert table["predicted"].tolist() == ["positive", "negative", "positive", "negative"]


def test_probability_of_the_threshold_itself_is_negative() -> None:
    table = table_of([0.75, 0.25, 0.8, 0.5], threshold=0.75)
    assert table["predicted"].tolist() == ["negative", "negative", "positive", "negative"]


def test_mistakes_have_their_texts_if_they_may_be_shown() -> None:
    predictions = table_of([0.9, 0.2, 0.6, 0.1])
    mistakes = evaluate_predictions(predictions, look_up, "lstm").tables["mistakes"]
    assert mistakes["review"].tolist() == [2, 1]
    assert mistakes["text"].tolist() == ["the film fails", "the film"]
    without = evaluate_predictions(predictions, None, "lstm").tables["mistakes"]
    assert without["review"].tolist() == [2, 1]
    assert "text" not in without


def test_evaluation_has_metrics_and_a_plot_for_each_curve() -> None:
    evaluation = evaluate_predictions(table_of([0.9, 0.2, 0.6, 0.1]), None, "lstm")
    assert evaluation.metrics["test_accuracy"] == 0.5
    assert evaluation.tables["confusion"]["reviews"].tolist() == [1, 1, 1, 1]
    assert evaluation.plots.keys() == {"roc", "reliability", "confusion", "lengths"}
    (axes,) = evaluation.plots["roc"].axes
    assert axes.get_title() == "ROC curve · lstm"


def test_gradients_are_drawn_before_and_after_the_training() -> None:
    before = GRADIENTS.assign(mean=[3.0, 2.0, 1.0])
    drawn = plot_training(pd.DataFrame(HISTORY), before, GRADIENTS, "lstm")
    assert drawn.keys() == {"accuracy", "loss", "gradients"}
    (axes,) = drawn["gradients"].axes
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}
    assert lines == {
        "before the first epoch": [3.0, 2.0, 1.0],
        "trained": pytest.approx([1.0, 0.5, 0.001]),
    }
