"""A comparison of two groups says what their predictions support, and no more."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from extras.common.evaluated_runs import EvaluatedRun, RunGroup
from extras.compare import comparison, text, verdict
from extras.compare.comparable import ReviewTexts, check_comparable
from extras.compare.verdict import CompareConfig, Difference
from sentiment.errors import UserError
from sentiment.evaluation.metrics import Interval
from sentiment.tokenizer import Reviews

CONFIG = CompareConfig(confidence=0.95, examples=3)
WORDS = ["", "good", "bad", "not"]
PARAMS = {
    "fetch.dataset": "imdb",
    "train.units": 4,
    "train.seed": 42,
    "evaluate.threshold": 0.5,
    "evaluate.calibration_bins": 5,
    "model.sha256": "model",
    "data.test.sha256": "reviews",
}


def training(run_id: str, probability: list[float], **changed: Any) -> EvaluatedRun:
    """Return a training that predicted reviews, every second one positive.

    Args:
        probability: of *positive*, for each review.
        changed: params, with `__` for the dot of their names.
    """
    count = len(probability)
    positive = np.arange(count) % 2 == 0
    classes = np.array(["negative", "positive"])
    predictions = pd.DataFrame(
        {
            "review": np.arange(count),
            "actual": classes[positive.astype(int)],
            "predicted": classes[(np.array(probability, np.float32) > 0.5).astype(int)],
            "probability": np.array(probability, np.float32),
            "words": 1 + np.arange(count) % 3,
        }
    )
    params = PARAMS | {name.replace("__", "."): value for name, value in changed.items()}
    cost = {"training_seconds": 4.0, "parameters": 10, "milliseconds_per_review": 0.5}
    return EvaluatedRun(run_id, f"name {run_id}", params, predictions, cost)


def side(run_id: str, *trainings: EvaluatedRun) -> RunGroup:
    return RunGroup(run_id, run_id, f"name {run_id}", list(trainings))


def right(count: int, *wrong: int) -> list[float]:
    """Return probabilities that are right, except for some reviews."""
    sure = np.where(np.arange(count) % 2 == 0, 0.9, 0.1)
    return [1 - p if at in wrong else p for at, p in enumerate(sure.tolist())]


def review_texts(count: int) -> ReviewTexts:
    """Return reviews of one to three words."""
    texts = [[1, 3, 2][: 1 + at % 3] for at in range(count)]
    return ReviewTexts(Reviews.from_lists(texts, np.zeros(count, np.uint8)), WORDS)


def compared(a: RunGroup, b: RunGroup) -> comparison.Comparison:
    return comparison.compare_groups(a, b, review_texts(len(a.runs[0].predictions)), CONFIG)


A = side("a", training("a", right(40, *range(12))))
B = side("b", training("b", right(40, 39)))


def test_better_side_is_named_with_interval_and_p_value() -> None:
    result = compared(A, B)
    assert result.discordant == (1, 12)
    assert result.result.difference == pytest.approx(11 / 40)
    # by hand: 2 · (1 + 13) / 2^13
    assert result.result.p == pytest.approx(28 / 2**13)
    low, high = result.result.interval
    assert result.sentence == (
        f"B is better by 27.50 points (95% interval {100 * low:.2f} to {100 * high:.2f}, "
        "McNemar's exact p = 0.0034)."
    )
    assert "says nothing about other seeds" in result.caveat
    exchanged = compared(B, A)
    low, high = exchanged.result.interval
    assert exchanged.sentence.startswith(
        f"A is better by 27.50 points (95% interval {-100 * high:.2f} to {-100 * low:.2f}, "
    )
    assert exchanged.result.p == result.result.p


def test_difference_that_may_be_chance_is_not_called_one() -> None:
    result = compared(side("a", training("a", right(40, 1, 2))), B)
    assert result.sentence.startswith("No difference shown: B − A is 2.50 points (95% interval −")
    assert "p = 1)" in result.sentence


def test_level_is_one_minus_the_confidence() -> None:
    result = Difference(0.8, 0.81, 0.01, Interval(0.001, 0.019), 0.03)
    assert verdict.conclusion(result, 0.95, "test").startswith("B is better by 1.00")
    assert verdict.conclusion(result, 0.99, "test").startswith("No difference shown")


def test_training_and_its_group_or_different_test_sets_are_not_compared() -> None:
    group = side("group", *A.runs, training("c", right(40)))
    with pytest.raises(UserError, match=r"a and group share trainings \(a\)\. Name another"):
        check_comparable(A, group)
    other = side("other", training("d", right(40), data__test__sha256="others"))
    with pytest.raises(UserError, match="a and other were evaluated on different test sets"):
        check_comparable(A, other)


def test_reviews_in_another_order_are_aligned() -> None:
    (before,) = B.runs
    shuffled = before._replace(predictions=before.predictions.sample(frac=1, random_state=0))
    result = compared(A, side("b", shuffled))
    assert result.result == compared(A, B).result
    assert result.only_b == compared(A, B).only_b


def test_examples_are_what_only_one_side_predicts_correctly_the_furthest_apart_first() -> None:
    unsure = right(40, *range(12))
    unsure[5] = 0.99
    unsure[6] = 0.45
    result = compared(side("a", training("a", unsure)), B)
    assert [example.review for example in result.only_a] == [39]
    assert len(result.only_b) == CONFIG.examples
    assert 6 not in [example.review for example in result.only_b]
    assert result.only_b[0].review == 5
    assert result.only_b[0].text == "good not bad"
    assert result.only_b[0].probability_a == pytest.approx(0.99)


C = [training(f"c{seed}", right(40, *range(2 + seed)), train__seed=seed) for seed in range(3)]
GROUP = side("group", *C)


def test_trainings_are_the_sample_if_a_side_is_a_group() -> None:
    others = side("d", training("d", right(40, 5)), training("e", right(40, 5, 7)))
    result = compared(GROUP, others)
    reviews = [[example.review for example in part] for part in (result.only_a, result.only_b)]
    assert reviews == [[5], [0, 1, 2]]  # by the mean probability
    accuracy = result.a.metrics["accuracy"]
    assert accuracy.mean == pytest.approx(37 / 40)
    assert accuracy.standard_deviation == pytest.approx(1 / 40)
    assert (accuracy.low, accuracy.high) == (36 / 40, 38 / 40)
    assert accuracy.interval is None
    assert result.test == "Welch's t-test"
    assert result.discordant is None


def test_single_training_is_compared_with_a_group_by_the_standard_deviation_of_the_group() -> None:
    result = compared(side("d", training("d", right(40, *range(12)))), GROUP)
    assert result.test == "Student's t-test"
    # by hand: 9 of 40, standard deviation 1 of 40: t = 9 / √(1 + 1/3), two degrees of freedom
    assert result.result.p == pytest.approx(0.0161, abs=1e-4)
    assert result.b.runs == ["c0", "c1", "c2"]
    assert result.changes[0]["b"] == "0, 1, 2"


def test_metrics_of_single_trainings_and_groups_are_in_words() -> None:
    result = compared(A, GROUP)
    rows = {name: values for name, *values in text.metric_rows(result)}
    single, group = rows["accuracy"]
    assert single.startswith("0.7000 (95% interval 0.5")
    assert group == "mean 0.9250 (standard deviation 0.0250, range 0.9000 to 0.9500)"
    single, group = rows["Brier score"]
    assert single == "0.2500"
    assert group.startswith("mean 0.0700 (standard deviation 0.0200, range 0.05")
    assert rows["seconds of training"][0] == "4.0"
    assert text.as_one_line("a <b> & c\n d") == "a <b> & c d"
