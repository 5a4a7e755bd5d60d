"""Metrics and curves of a table of predictions equal the textbook's formulas and scikit-learn."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from sentiment.evaluation import metrics
from sentiment.evaluation.intervals import wilson_interval

PROBABILITY = np.array([0.9, 0.8, 0.6, 0.3, 0.1, 0.2, 0.4, 0.95])
PREDICTIONS = pd.DataFrame(  # six of eight are right
    {
        "row": range(8),
        "actual": ["positive"] * 4 + ["negative"] * 4,
        "predicted": np.where(PROBABILITY > 0.5, "positive", "negative"),
        "probability_negative": 1 - PROBABILITY,
        "probability_positive": PROBABILITY,
        "words": [0, 100, 101, 200, 201, 400, 401, 2000],
        "unknown_words": 0,
        "seen_in_training": [True, *[False] * 7],
    }
)


def with_probability(actual: Any, positive: np.ndarray) -> pd.DataFrame:
    """Return actual labels with the probability of each label."""
    columns = {"probability_negative": 1 - positive, "probability_positive": positive}
    return pd.DataFrame({"actual": actual, **columns})


def many_labels(labels: int, reviews: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return predictions with labels that are numbers, and often right."""
    actual = rng.integers(0, labels, reviews)
    logits = rng.normal(size=(reviews, labels)) + 2 * np.eye(labels)[actual]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.arange(labels).astype(str)
    return pd.DataFrame(
        {
            "row": range(reviews),
            "actual": names[actual],
            "predicted": names[probabilities.argmax(axis=1)],
            **{f"probability_{name}": probabilities[:, int(name)] for name in names},
            "words": 100,
            "unknown_words": 0,
            "seen_in_training": False,
        }
    )


def test_the_second_label_counts_as_positive_whatever_its_name() -> None:
    names = {"positive": "1", "negative": "5"}
    renamed = PREDICTIONS.replace({"actual": names, "predicted": names}).rename(
        columns={"probability_negative": "probability_5", "probability_positive": "probability_1"}
    )
    assert metrics.compute_metrics(renamed) == metrics.compute_metrics(PREDICTIONS)


def test_metrics_equal_the_textbook_formulas() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    p = PROBABILITY
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
    }
    computed = metrics.compute_metrics(PREDICTIONS)
    del computed["test_ece"]  # has tests of its own
    assert computed == pytest.approx(expected, abs=1e-6)


def test_metrics_that_are_not_defined_are_missing_or_zero() -> None:
    seen = metrics.compute_metrics(PREDICTIONS.assign(seen_in_training=True))
    assert "test_accuracy_unseen" not in seen
    never = metrics.compute_metrics(PREDICTIONS.assign(predicted="negative"))
    assert never["test_precision"] == never["test_recall"] == never["test_f1"] == 0


def test_a_proportion_has_wilsons_interval() -> None:
    expected = {
        "accuracy": (6, 8),
        "precision": (3, 4),
        "recall": (3, 4),
        "accuracy_unseen": (5, 7),
    }
    for name, (successes, trials) in expected.items():
        metric = metrics.METRICS[name]
        assert metric.compute(PREDICTIONS) == successes / trials
        assert metric.interval(PREDICTIONS) == wilson_interval(successes, trials, 0.95)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy"])
@pytest.mark.parametrize("labels", [2, 3])
def test_f1_and_balanced_accuracy_have_the_interval_of_a_bootstrap_over_texts(
    name: str, labels: int, rng: np.random.Generator
) -> None:
    table = many_labels(labels, 300, rng)
    score = {
        "f1": partial(sklearn.metrics.f1_score, average="binary" if labels == 2 else "macro"),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    }[name]
    actual = table["actual"].to_numpy(int)
    predicted = table["predicted"].to_numpy(int)
    samples = rng.integers(0, 300, (500, 300))
    resampled = [score(actual[drawn], predicted[drawn]) for drawn in samples]
    assert metrics.METRICS[name].interval(table) == pytest.approx(
        np.quantile(resampled, [0.025, 0.975]), abs=0.015
    )


def test_a_metric_has_no_interval_without_texts_or_a_method() -> None:
    assert metrics.METRICS["loss"].interval(PREDICTIONS) is None
    never = PREDICTIONS.assign(predicted="negative")
    assert metrics.METRICS["precision"].interval(never) is None


def test_confusion_matrix_counts_each_combination() -> None:
    changed = PREDICTIONS.copy()
    changed.loc[0, "predicted"] = "negative"
    assert metrics.confusion_matrix(changed).to_numpy().tolist() == [
        ["negative", "negative", 3],
        ["negative", "positive", 1],
        ["positive", "negative", 2],
        ["positive", "positive", 2],
    ]


def test_thinned_roc_curve_lies_on_the_complete_one(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 2, 5000)
    probability = 1 / (1 + np.exp(-rng.normal(3 * (truth - 0.5))))
    actual = np.where(truth, "positive", "negative")
    table = with_probability(actual, probability)
    curve = metrics.roc_curve(table, "positive", 5001)
    thin = metrics.roc_curves(table)
    assert len(thin) <= metrics.MAX_ROC_POINTS < len(curve)
    assert thin.iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert set(thin.itertuples(index=False)) <= set(curve.itertuples(index=False))
    area = sklearn.metrics.roc_auc_score(truth, probability)
    assert sklearn.metrics.auc(*curve.to_numpy().T) == pytest.approx(area)
    assert sklearn.metrics.auc(*thin.to_numpy().T) == pytest.approx(area, abs=1e-3)


def test_groups_by_length_are_quarters_of_the_texts() -> None:
    table = metrics.accuracy_by_length(PREDICTIONS)
    assert table["words"].tolist() == ["0-100", "101-200", "201-400", "401-2000"]
    assert table["texts"].tolist() == [2, 2, 2, 2]
    assert table["accuracy"].tolist() == [1, 0.5, 1, 0.5]
    short = metrics.accuracy_by_length(PREDICTIONS.assign(words=5))
    assert short.to_numpy().tolist() == [["5", 8, 0.75]]
    odd = metrics.accuracy_by_length(PREDICTIONS.assign(words=[3, 3, 3, 3, 3, 4, 9, 9]))
    assert odd["words"].tolist() == ["3", "4", "5-9"]
    assert odd["texts"].tolist() == [5, 1, 2]


def test_mistakes_start_with_the_most_confident() -> None:
    assert metrics.mistakes(PREDICTIONS, 25).index.tolist() == [7, 3]
    assert metrics.mistakes(PREDICTIONS, 1).index.tolist() == [7]


def test_reliability_compares_predicted_with_observed_shares() -> None:
    """Use bins of a tenth, which include their upper bound."""
    labels = ["negative", "positive", "positive", "positive", "negative"]
    table = with_probability(labels, np.array([0.0, 0.06, 0.1, 0.95, 1.0]))
    groups = metrics.reliability(table)
    assert groups["texts"].tolist() == [3, 2]
    assert groups["predicted"].tolist() == pytest.approx([0.16 / 3, 0.975])
    assert groups["observed"].tolist() == pytest.approx([2 / 3, 0.5])
    error = (3 * (2 / 3 - 0.16 / 3) + 2 * (0.975 - 0.5)) / 5
    assert metrics.calibration_error(table) == pytest.approx(error)


def test_metrics_of_three_labels_are_means_over_the_labels(rng: np.random.Generator) -> None:
    """Compare with scikit-learn's own macro averages."""
    table = many_labels(3, 200, rng)
    probabilities = table[["probability_0", "probability_1", "probability_2"]].to_numpy()
    truth = table["actual"].astype(int)
    predicted = table["predicted"].astype(int)
    one_hot = np.eye(3)[truth]
    is_right = (truth == predicted).to_numpy()
    found = metrics.compute_metrics(table)
    del found["test_ece"]  # has tests of its own
    assert found == pytest.approx(
        {
            "test_accuracy": is_right.mean(),
            "test_balanced_accuracy": sklearn.metrics.balanced_accuracy_score(truth, predicted),
            "test_loss": -np.log(probabilities[np.arange(200), truth]).mean(),
            "test_precision": sklearn.metrics.precision_score(truth, predicted, average="macro"),
            "test_recall": sklearn.metrics.recall_score(truth, predicted, average="macro"),
            "test_f1": sklearn.metrics.f1_score(truth, predicted, average="macro"),
            "test_roc_auc": sklearn.metrics.roc_auc_score(truth, probabilities, multi_class="ovr"),
            "test_average_precision": sklearn.metrics.average_precision_score(
                one_hot, probabilities
            ),
            "test_brier": ((probabilities - one_hot) ** 2).sum(axis=1).mean(),
            "test_accuracy_unseen": is_right.mean(),
        },
        abs=1e-6,
    )


def test_a_label_that_does_not_occur_is_left_out_of_the_means(rng: np.random.Generator) -> None:
    table = many_labels(3, 200, rng)
    without = table[table["actual"] != "1"]
    assert metrics.averaged_labels(without) == ["0", "2"]
    found = metrics.compute_metrics(without)
    by_label = metrics.label_metrics(without).set_index("label")
    recalls = by_label["recall"]
    assert 0 in by_label["texts"].tolist()
    assert found["test_recall"] == found["test_balanced_accuracy"]
    assert found["test_recall"] == pytest.approx((recalls["0"] + recalls["2"]) / 2)


def test_means_over_labels_have_no_interval(rng: np.random.Generator) -> None:
    table = many_labels(3, 200, rng)
    assert metrics.METRICS["recall"].interval(table) is None
    assert metrics.METRICS["accuracy"].interval(table) is not None


def test_calibration_of_three_labels_is_that_of_the_predicted_one() -> None:
    table = pd.DataFrame(
        {
            "actual": ["a", "b", "c", "a"],
            "predicted": ["a", "b", "a", "c"],
            "probability_a": [0.62, 0.1, 0.66, 0.2],
            "probability_b": [0.2, 0.64, 0.3, 0.15],
            "probability_c": [0.18, 0.26, 0.04, 0.65],
        }
    )
    groups = metrics.reliability(table)
    assert groups.to_numpy().tolist() == [pytest.approx([0.6425, 0.5, 4])]
    assert metrics.calibration_error(table) == pytest.approx(0.1425)
    assert metrics.mistakes(table, 25).index.tolist() == [2, 3]


def test_each_label_has_its_metrics() -> None:
    table = metrics.label_metrics(PREDICTIONS)
    assert table.to_dict("list") == {
        "label": ["negative", "positive"],
        "precision": [0.75, 0.75],
        "recall": [0.75, 0.75],
        "f1": [0.75, 0.75],
        "texts": [4, 4],
    }


@pytest.mark.parametrize(("labels", "curves"), [(3, 3), (10, 10), (11, 0)])
def test_up_to_ten_labels_have_a_roc_curve_each(
    labels: int, curves: int, rng: np.random.Generator
) -> None:
    table = metrics.roc_curves(many_labels(labels, 400, rng))
    assert table["label"].nunique() == curves
    assert len(table) <= metrics.MAX_ROC_POINTS
    assert table.columns.tolist() == ["false_positive_rate", "true_positive_rate", "label"]
