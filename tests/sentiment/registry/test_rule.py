"""The rule compares a candidate with the champion, review by review, and says what it found."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentiment import files
from sentiment.data.reviews import TEST_DATA
from sentiment.params import Params, Promote
from sentiment.registry.rule import Evaluated, decide, read_evaluated

DIGEST = "abc"


@pytest.fixture
def rule(default_params: Params) -> Promote:
    return default_params.promote


def evaluated(right: list[bool], error: float = 0.05, **changes: Any) -> Evaluated:
    """So many right answers to positive reviews, with this calibration error."""
    answers = {
        "actual": "positive",
        "predicted": np.where(right, "positive", "negative"),
        "probability": np.float32(1 - error),
    }
    predictions = pd.DataFrame(answers, pd.Index(range(len(right)), name="review"))
    return Evaluated("imdb", DIGEST, 10, predictions)._replace(**changes)


CHAMPION = evaluated([True] * 10 + [False] * 10)


def test_the_first_on_imdb_is_promoted(rule: Promote) -> None:
    assert decide(CHAMPION, None, rule) == (True, "there was no champion")


def test_another_data_set_is_not(rule: Promote) -> None:
    candidate = evaluated([True] * 20, dataset="synthetic")
    decision = decide(candidate, None, rule)
    assert decision == (False, "evaluated on synthetic, not on imdb")
    chosen = rule.model_copy(update={"dataset": "synthetic"})
    assert decide(candidate, None, chosen).promoted


def test_better_beyond_chance_is_promoted(rule: Promote) -> None:
    decision = decide(evaluated([True] * 16 + [False] * 4), CHAMPION, rule)
    assert decision.promoted
    assert decision.reason == (
        "better than the champion: McNemar's exact p = 0.031, +6 of 20 reviews"
    )


@pytest.mark.parametrize(
    "right",
    [
        [True] * 15 + [False] * 5,  # five more: p = 0.0625
        [True] * 10 + [False] * 10,
        [False] * 10 + [True] * 10,  # as many right, but others
        [False] * 20,  # far worse
    ],
)
def test_not_shown_to_be_better_is_not(right: list[bool], rule: Promote) -> None:
    decision = decide(evaluated(right), CHAMPION, rule)
    assert not decision.promoted
    assert decision.reason.startswith("not shown to be better than the champion")


def test_the_level_is_the_rule_s(rule: Promote) -> None:
    candidate = evaluated([True] * 15 + [False] * 5)
    lenient = rule.model_copy(update={"alpha": 0.1})
    assert decide(candidate, CHAMPION, lenient).promoted


def test_worse_calibrated_beyond_the_margin_is_not(rule: Promote) -> None:
    decision = decide(evaluated([True] * 20, error=0.0601), CHAMPION, rule)
    assert decision == (False, "calibration error greater by 0.0101, more than 0.01")
    assert decide(evaluated([True] * 20, error=0.0599), CHAMPION, rule).promoted


def test_calibration_is_compared_by_the_same_groups_of_probability(rule: Promote) -> None:
    """Two models, equally sure of everything: only the number of groups tells them apart."""
    probability = np.tile(np.array([0.85, 0.95], np.float32), 10)
    actual = np.where(probability > 0.9, "positive", "negative")
    table = CHAMPION.predictions.assign(probability=probability, actual=actual)
    champion = CHAMPION._replace(bins=1, predictions=table.assign(predicted="negative"))
    better = table.assign(predicted=table["actual"])
    candidate = champion._replace(bins=20, predictions=better)
    assert decide(candidate, champion, rule).promoted


def test_other_reviews_are_not_compared(rule: Promote) -> None:
    candidate = evaluated([True] * 20, test_data="other")
    decision = decide(candidate, CHAMPION, rule)
    assert decision == (False, "evaluated on other reviews than the champion")


def test_an_evaluation_is_read_in_the_order_of_the_reviews(tmp_path: Path, rule: Promote) -> None:
    table = evaluated([True] * 15 + [False] * 5).predictions
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "predictions.csv")
    files.write_json(tmp_path / "metrics.json", {"dataset": "imdb"})
    files.write_about(tmp_path, {TEST_DATA: DIGEST, "evaluate.calibration_bins": 10})
    read = read_evaluated(tmp_path)
    assert decide(read, CHAMPION, rule).reason.endswith("+5 of 20 reviews")
    pd.testing.assert_frame_equal(read.predictions, table)
