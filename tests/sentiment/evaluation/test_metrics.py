from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentiment.evaluation import metrics
from sentiment.evaluation.metrics import Predictions

PROBABILITY = np.array([0.9, 0.8, 0.6, 0.3, 0.1, 0.2, 0.4, 0.95])
PREDICTIONS = pd.DataFrame(  # six of eight are right
    {
        "actual": ["positive"] * 4 + ["negative"] * 4,
        "predicted": metrics.class_names(PROBABILITY > 0.5),
        "probability": PROBABILITY,
        "words": [0, 100, 101, 200, 201, 400, 401, 2000],
        "seen_in_training": [True, *[False] * 7],
    }
)


def computed_metrics(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics that `metrics.json` has."""
    confusion = metrics.confusion_matrix(predictions)
    lengths = metrics.accuracy_by_length(predictions, [100])
    return metrics.test_metrics(Predictions(predictions, 4), confusion, lengths)


def test_metrics_equal_the_textbook_formulas() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    p = PREDICTIONS["probability"].to_numpy()
    expected = {
        "test_accuracy": 6 / 8,
        "test_balanced_accuracy": 6 / 8,
        "test_loss": -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p)),
        "test_precision": 3 / 4,
        "test_recall": 3 / 4,
        "test_f1": 3 / 4,
        "test_roc_auc": np.mean([a > b for a in p[:4] for b in p[4:]]),
        "test_average_precision": (1 / 2 + 2 / 3 + 3 / 4 + 4 / 6) / 4,
        "test_brier": np.mean((p - truth) ** 2),
        "test_accuracy_unseen": 5 / 7,
        "test_ece": metrics.calibration_error(PREDICTIONS, 4),
        "test_reviews": 8,
        "test_reviews_seen": 1,
        "test_true_positives": 3,
        "test_false_positives": 1,
        "test_true_negatives": 3,
        "test_false_negatives": 1,
    }
    result = computed_metrics(PREDICTIONS)
    assert result.pop("test_accuracy_by_length") == {"1-100": 1.0, "over 100": 4 / 6}
    assert result == pytest.approx(expected)
    assert list(result) == list(expected)


def test_metrics_without_predictions_are_missing_or_zero() -> None:
    assert "test_accuracy_unseen" not in computed_metrics(PREDICTIONS.assign(seen_in_training=True))
    never = computed_metrics(PREDICTIONS.assign(predicted="negative"))
    assert never["test_precision"] == never["test_f1"] == 0


def test_confusion_matrix_counts_each_combination() -> None:
    changed = PREDICTIONS.copy()
    changed.loc[0, "predicted"] = "negative"
    assert metrics.confusion_matrix(changed).to_numpy().tolist() == [
        ["negative", "negative", 3],
        ["negative", "positive", 1],
        ["positive", "negative", 2],
        ["positive", "positive", 2],
    ]
    result = computed_metrics(changed)
    assert (result["test_false_positives"], result["test_false_negatives"]) == (1, 2)


def test_thinned_roc_curve_lies_on_the_complete_one(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 2, 5000)
    probability = 1 / (1 + np.exp(-rng.normal(3 * (truth - 0.5))))
    table = pd.DataFrame({"actual": metrics.class_names(truth), "probability": probability})
    curve = metrics.roc_curve(table, 5001)
    thin = metrics.roc_curve(table, 200)
    assert len(thin) <= 200 < len(curve)
    assert thin.iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert set(thin.itertuples(index=False)) <= set(curve.itertuples(index=False))
    along = curve.sum(axis="columns")
    along_thin = thin.sum(axis="columns")
    drawn = np.interp(along, along_thin, thin["true_positive_rate"])
    assert np.abs(drawn - curve["true_positive_rate"]).max() < 0.003


def test_length_groups_include_their_upper_bound() -> None:
    table = metrics.accuracy_by_length(PREDICTIONS, [100, 200, 400])
    assert table["words"].tolist() == ["1-100", "101-200", "201-400", "over 400"]
    assert table["reviews"].tolist() == [2, 2, 2, 2]
    assert table["accuracy"].tolist() == [1, 0.5, 1, 0.5]
    assert metrics.accuracy_by_length(PREDICTIONS, [5, 5000])["words"].tolist() == ["1-5", "6-5000"]


def test_mistakes_start_with_the_most_confident() -> None:
    assert metrics.mistakes(PREDICTIONS, 25).index.tolist() == [7, 3]
    assert metrics.mistakes(PREDICTIONS, 1).index.tolist() == [7]


def test_proportions_have_successes_and_trials() -> None:
    predictions = Predictions(PREDICTIONS, 4)
    shares = {
        name: one.proportion(predictions) for name, one in metrics.METRICS.items() if one.proportion
    }
    rates = dict.fromkeys(("precision", "recall", "specificity"), (3, 4))
    assert shares == {"accuracy": (6, 8), **rates, "accuracy_unseen": (5, 7)}
    assert all(
        metrics.METRICS[name].compute(predictions) == a / b for name, (a, b) in shares.items()
    )


def test_reliability_compares_predicted_with_observed_shares() -> None:
    labels = ["negative", "positive", "positive", "positive", "negative"]
    table = pd.DataFrame({"actual": labels, "probability": [0.0, 0.2, 0.5, 0.9, 1.0]})
    groups = metrics.reliability(table, 2)
    assert groups["reviews"].tolist() == [3, 2]
    assert groups["predicted"].tolist() == pytest.approx([0.7 / 3, 0.95])
    assert groups["observed"].tolist() == pytest.approx([2 / 3, 0.5])
    error = (3 * abs(0.7 / 3 - 2 / 3) + 2 * 0.45) / 5
    assert metrics.calibration_error(table, 2) == pytest.approx(error)
    assert metrics.reliability(table, 1000)["reviews"].tolist() == [1] * 5
