import numpy as np
import pandas as pd
import pytest

from sentiment.evaluation import evaluate, metrics
from sentiment.evaluation.evaluate import TrainingRecord
from sentiment.tokenizer import Reviews
from workflow.params import Params

PROBABILITIES = np.array([0.9, 0.2, 0.6, 0.1], np.float32)
WORDS = ["", "the", "film", "fails"]
GRADIENTS = pd.DataFrame(
    {"distance": [0, 1, 2], "mean": [1.0, 0.5, 0.001], "low": [0.5, 0.1, 0.0], "high": 1.5}
)
HISTORY = {"epoch": [1], "accuracy": 0.5, "val_accuracy": 0.5, "loss": 0.7, "val_loss": 0.7}


@pytest.fixture
def test_set() -> evaluate.EvalDataset:
    """Return four reviews. Their predictions are in another order than their texts."""
    reviews = Reviews.from_lists([[1], [1, 2], [1, 2, 3], [2, 2, 2, 2]], np.array([0, 1, 0, 1]))
    order = np.array([2, 0, 3, 1])
    seen = np.array([False, False, False, True])
    return evaluate.EvalDataset(reviews.labels[order], order, seen, reviews)


def test_predictions_are_in_the_order_of_padded_rows(test_set: evaluate.EvalDataset) -> None:
    table = evaluate.predictions_table(test_set, PROBABILITIES, 0.5)
    assert table["actual"].tolist() == ["negative", "negative", "positive", "positive"]
    assert table["predicted"].tolist() == ["positive", "negative", "positive", "negative"]
    assert table["words"].tolist() == [3, 1, 4, 2]
    assert table["seen_in_training"].tolist() == [False, False, False, True]
    strict = evaluate.predictions_table(test_set, PROBABILITIES, threshold=0.95)
    assert set(strict["predicted"]) == {metrics.NEGATIVE}


def test_probability_of_the_threshold_itself_is_negative(test_set: evaluate.EvalDataset) -> None:
    table = evaluate.predictions_table(test_set, np.array([0.5, 0.25, 0.75, 0.5], np.float32), 0.5)
    assert table["predicted"].tolist() == ["negative", "negative", "positive", "negative"]


def test_gradients_are_drawn_before_and_after_the_training() -> None:
    before = GRADIENTS.assign(mean=[3.0, 2.0, 1.0])
    training = TrainingRecord("lstm-4", pd.DataFrame(HISTORY), before)
    (axes,) = evaluate.plot_training(training, GRADIENTS)["gradients"].axes
    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}
    assert drawn == {"before the first epoch": [3.0, 2.0, 1.0], "trained": [1.0, 0.5, 0.001]}


def test_metrics_name_the_dataset_and_mistakes_have_the_complete_text(
    test_set: evaluate.EvalDataset, default_params: Params
) -> None:
    training = TrainingRecord("lstm-4", pd.DataFrame(HISTORY), GRADIENTS)
    evaluated = evaluate.evaluate_model(
        test_set, WORDS, training, PROBABILITIES, GRADIENTS, "imdb", default_params.evaluate
    )
    shown = {"dataset": "imdb", "test_accuracy": 0.5, "gradient_reach": 1}
    assert shown.items() <= evaluated.metrics.items()
    mistakes = evaluated.tables["mistakes"]
    assert mistakes["review"].tolist() == [2, 1]
    assert mistakes["text"].tolist() == ["the film fails", "the film"]


def test_nested_metrics_get_flat_names() -> None:
    measured = {"dataset": "imdb", "a": 1.0, "by_length": {"1-100": 0.5}}
    assert evaluate.flatten_metrics(measured) == {"a": 1.0, "by_length_1-100": 0.5}
