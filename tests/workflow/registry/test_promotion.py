"""The rule compares a candidate with the champion, review by review, and says what it found."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workflow import files
from workflow.files import TEST_DATA
from workflow.params import Promote
from workflow.registry import rule as rules
from workflow.registry.rule import Decision, Evaluated, decide, level

DIGEST = "abc"


def evaluated(right: list[bool], error: float = 0.05, **changes: Any) -> Evaluated:
    """So many right answers to positive reviews, with this calibration error."""
    answers = {
        "actual": "positive",
        "predicted": np.where(right, "positive", "negative"),
        "probability": np.float32(1 - error),
    }
    predictions = pd.DataFrame(answers, pd.Index(range(len(right)), name="review"))
    return Evaluated(DIGEST, 10, predictions)._replace(**changes)


CHAMPION = evaluated([True] * 10 + [False] * 10)


def test_better_beyond_chance_is_promoted(rule: Promote) -> None:
    decision = decide(evaluated([True] * 17 + [False] * 3), CHAMPION, rule)
    assert decision.promoted
    assert decision.reason == (
        "better than the champion: McNemar's exact p = 0.016, +7 of 20 reviews, "
        "as candidate 1 against it tested at 0.025"
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
    lenient = rule.model_copy(update={"alpha": 0.2})
    assert decide(evaluated([True] * 15 + [False] * 5), CHAMPION, lenient).promoted


def test_each_further_candidate_is_tested_at_a_lower_level(rule: Promote) -> None:
    candidate = evaluated([True] * 17 + [False] * 3)  # p = 0.016
    second = decide(candidate, CHAMPION, rule, number=2)
    assert not second.promoted
    assert second.reason.endswith("as candidate 2 against it tested at 0.0083")
    assert decide(evaluated([True] * 18 + [False] * 2), CHAMPION, rule, number=2).promoted


def test_all_levels_together_are_alpha() -> None:
    assert sum(level(0.05, number) for number in range(1, 100_000)) == pytest.approx(0.05, 1e-4)


def test_worse_calibrated_beyond_the_margin_is_not(rule: Promote) -> None:
    decision = decide(evaluated([True] * 20, error=0.0601), CHAMPION, rule)
    assert decision == Decision(False, "calibration error greater by 0.0101, more than 0.01")
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


def test_an_evaluation_is_read_in_the_order_of_the_reviews(tmp_path: Path, rule: Promote) -> None:
    table = evaluated([True] * 15 + [False] * 5).predictions
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "predictions.csv")
    files.write_about(tmp_path, {TEST_DATA: DIGEST, "evaluate.calibration_bins": 10})
    read = rules.read_evaluated(tmp_path)
    assert decide(read, CHAMPION, rule).reason.count("+5 of 20 reviews") == 1
    pd.testing.assert_frame_equal(read.predictions, table)
