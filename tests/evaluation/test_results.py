"""An evaluation has metrics, tables and plots."""

import numpy as np
import pandas as pd
import pytest

from sentiment.evaluation.gradients import NO_GRADIENTS
from sentiment.evaluation.results import (
    evaluate_predictions,
    plot_training,
    predictions_table,
    rebuild_texts,
    summarize_gradients,
    texts_table,
)
from sentiment.text.padding import Layout
from sentiment.text.reviews import Reviews

GRADIENTS = pd.DataFrame(
    {
        "distance": [0, 1, 2],
        "mean": [1.0, 0.5, 0.001],
        "low": [0.5, 0.1, 0.0],
        "high": 1.5,
        "initial_mean": [3.0, 2.0, 0.0],
    }
)
HISTORY = {"epoch": [1], "accuracy": 0.5, "val_accuracy": 0.5, "loss": 0.7, "val_loss": 0.7}


def table_of(probabilities: list[float], threshold: float = 0.5) -> pd.DataFrame:
    """Return the predictions of four reviews. They are in another order than in the dataset."""
    reviews = pd.DataFrame(
        {
            "row": [2, 0, 3, 1],
            "text_id": ["c", "a", "d", "b"],
            "words": [3, 1, 4, 2],
            "unknown_words": [1, 0, 2, 0],
            "seen_in_training": [False, False, False, True],
        }
    )
    positive = np.array(probabilities, np.float32)
    return predictions_table(
        reviews,
        y=np.array([0, 0, 1, 1], np.uint8),
        probabilities=np.stack([1 - positive, positive], axis=1),
        label_names=["negative", "positive"],
        threshold=threshold,
    )


def test_texts_are_described_in_the_order_of_the_padded_rows() -> None:
    test_rows = pd.DataFrame(
        {
            "row": [4, 5, 9],
            "text": ["a", "b", "c"],
            "id": ["x", "", "z"],
            "text_id": np.array([18, 2**64 - 1, 0], np.uint64),
            "unranked_words": [1, 0, 0],
            "seen_in_training": [False, False, True],
        }
    )
    described = texts_table(
        Reviews.from_lists([[1, 9], [], [9, 9, 10]], np.zeros(3, int)),
        test_rows,
        layout=Layout(num_words=12, max_length=6, padding="pre", truncating="pre"),
        order=np.array([2, 0, 1]),
    )
    assert described.to_dict("list") == {
        "row": [9, 4, 5],
        "id": ["z", "x", ""],
        "text_id": ["0" * 16, f"{18:016x}", "f" * 16],
        "words": [3, 3, 0],
        "unknown_words": [3, 2, 0],  # the greatest rank that the layout has room for is 8
        "seen_in_training": [True, False, False],
    }


def test_table_has_a_row_for_each_text() -> None:
    table = table_of([0.9, 0.2, 0.6, 0.1])
    assert table.iloc[2].to_dict() == {
        "row": 3,
        "text_id": "d",
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


def test_a_text_that_is_not_available_is_rebuilt_from_its_words() -> None:
    reviews = Reviews.from_lists([[1], [2], [1, 3]], np.zeros(3, int))
    word_index = {"the": 1, "film": 2, "fails": 3}
    assert rebuild_texts(reviews, [2, 0], word_index) == ["the fails", "the"]


def test_mistakes_get_their_texts_after_the_row_and_the_id() -> None:
    results = evaluate_predictions(table_of([0.9, 0.2, 0.6, 0.1]))
    mistakes = results.with_texts(["the fails", "the"]).tables["mistakes"]
    assert mistakes.columns.tolist()[:3] == ["row", "text", "text_id"]
    assert mistakes["text"].tolist() == ["the fails", "the"]
    assert "text" not in results.tables["mistakes"]
    results.tables["mistakes"].insert(1, "id", "x")
    mistakes = results.with_texts(["the fails", "the"]).tables["mistakes"]
    assert mistakes.columns.tolist()[:4] == ["row", "id", "text", "text_id"]


def test_evaluation_has_metrics_and_a_plot_for_each_curve() -> None:
    evaluation = evaluate_predictions(table_of([0.9, 0.2, 0.6, 0.1]))
    assert evaluation.metrics["test_accuracy"] == 0.5
    assert evaluation.tables["confusion"]["texts"].tolist() == [1, 1, 1, 1]
    assert evaluation.plots.keys() == {"roc", "reliability", "confusion", "lengths"}
    (axes,) = evaluation.plots["roc"].axes
    assert axes.get_title() == "ROC curve"


def test_the_25_worst_mistakes_are_listed() -> None:
    table = table_of([0.9, 0.8, 0.2, 0.1])  # all are wrong
    many = pd.concat([table] * 10, ignore_index=True).assign(row=range(40))
    assert len(evaluate_predictions(many).tables["mistakes"]) == 25


def test_evaluation_of_three_labels_has_a_row_and_a_curve_for_each() -> None:
    table = predictions_table(
        pd.DataFrame(
            {
                "row": range(6),
                "text_id": list("abcdef"),
                "words": 3,
                "unknown_words": 0,
                "seen_in_training": False,
            }
        ),
        y=np.array([0, 1, 2, 0, 1, 2], np.uint8),
        probabilities=np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]] * 2, np.float32)[
            ::-1
        ],
        label_names=["bad", "fine", "good"],
        threshold=0.9,
    )
    assert table["predicted"].tolist() == ["good", "fine", "bad"] * 2
    evaluation = evaluate_predictions(table)
    assert evaluation.metrics["test_accuracy"] == pytest.approx(1 / 3)
    assert evaluation.tables["labels"]["f1"].tolist() == [0, 1, 0]
    assert evaluation.tables["confusion"]["texts"].tolist() == [0, 0, 2, 0, 2, 0, 2, 0, 0]
    assert evaluation.plots.keys() == {"roc", "reliability", "confusion", "lengths"}


def test_the_curves_of_a_training_are_drawn() -> None:
    assert plot_training(pd.DataFrame(HISTORY)).plots.keys() == {"accuracy", "loss"}


def test_gradients_are_drawn_before_and_after_the_training() -> None:
    results = summarize_gradients(GRADIENTS)
    assert results.metrics == {"word_gradient_reach": 1, "word_gradient_reach_initial": 1}
    (axes,) = results.plots["gradients"].axes
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}
    assert lines == {
        "before the first epoch": [3.0, 2.0, 0.0],
        "trained": pytest.approx([1.0, 0.5, 0.001]),
    }


def test_without_gradients_the_table_is_empty_and_nothing_is_drawn() -> None:
    results = summarize_gradients(NO_GRADIENTS)
    assert (results.metrics, results.plots) == ({}, {})
    assert results.tables["gradients"].empty
