"""The rule compares a candidate with the champion, review by review, and says why it decides."""

import numpy as np
import pandas as pd
import pytest

from workflow.promotion import (
    DiscordantPairs,
    decide_promotion,
    have_same_test_set,
    mcnemar_p_value,
    significance_level,
)

ALPHA = 0.05


def predictions(is_correct: list[bool]) -> pd.DataFrame:
    """Return predictions for positive reviews."""
    return pd.DataFrame(
        {
            "review": range(len(is_correct)),
            "actual": "positive",
            "predicted": np.where(is_correct, "positive", "negative"),
            "words": 100,
        }
    )


CHAMPION = predictions([True] * 10 + [False] * 10)


def test_a_candidate_that_is_better_beyond_chance_is_promoted() -> None:
    decision = decide_promotion(predictions([True] * 17 + [False] * 3), CHAMPION, ALPHA, 1)
    assert decision.promoted
    assert decision.reason == (
        "better than the champion: accuracy 0.8500 against 0.5000, McNemar's exact p = 0.016 at "
        "level 0.025 (test 1 against this champion, with only 20 test texts)"
    )


@pytest.mark.parametrize(
    "is_correct",
    [
        [True] * 15 + [False] * 5,  # five more: p = 0.0625
        [True] * 10 + [False] * 10,
        [False] * 10 + [True] * 10,  # the same number, but other reviews
        [False] * 20,  # far worse
    ],
)
def test_a_candidate_that_is_not_shown_to_be_better_is_not_promoted(
    is_correct: list[bool],
) -> None:
    decision = decide_promotion(predictions(is_correct), CHAMPION, ALPHA, 1)
    assert not decision.promoted
    assert decision.reason.startswith("not shown to be better than the champion: accuracy")


def test_each_further_candidate_is_tested_at_a_lower_level() -> None:
    candidate = predictions([True] * 17 + [False] * 3)  # p = 0.016
    second = decide_promotion(candidate, CHAMPION, ALPHA, 2)
    assert not second.promoted
    assert "at level 0.0083 (test 2 against this champion" in second.reason
    stronger = predictions([True] * 18 + [False] * 2)
    assert decide_promotion(stronger, CHAMPION, ALPHA, 2).promoted


def test_reviews_may_be_in_any_order() -> None:
    candidate = predictions([True] * 17 + [False] * 3)
    shuffled = candidate.sample(frac=1, random_state=0)
    assert have_same_test_set(shuffled, CHAMPION)
    assert decide_promotion(shuffled, CHAMPION, ALPHA, 1) == decide_promotion(
        candidate, CHAMPION, ALPHA, 1
    )


@pytest.mark.parametrize(
    "other",
    [
        CHAMPION.assign(words=99),
        CHAMPION.assign(actual="negative"),
        CHAMPION.iloc[1:],
    ],
)
def test_another_test_set_is_noticed(other: pd.DataFrame) -> None:
    assert not have_same_test_set(other, CHAMPION)


def test_a_large_test_set_needs_no_warning() -> None:
    large = predictions([True] * 500)
    assert "only" not in decide_promotion(large, large, ALPHA, 1).reason


def test_all_levels_together_are_alpha() -> None:
    total = sum(significance_level(ALPHA, number) for number in range(1, 100_000))
    assert total == pytest.approx(ALPHA, 1e-4)


def test_candidates_that_are_no_better_are_rarely_promoted() -> None:
    """Try 20 candidates against a champion, 500 times: the chance of any promotion is below 5%."""
    rng = np.random.default_rng(0)
    false_promotions = 0
    for _ in range(500):
        champion = rng.random(400) < 0.8
        for number in range(1, 21):
            candidate = rng.random(400) < 0.8
            pairs = DiscordantPairs(
                int((champion & ~candidate).sum()), int((candidate & ~champion).sum())
            )
            level = significance_level(ALPHA, number)
            if pairs.only_b > pairs.only_a and mcnemar_p_value(pairs) < level:
                false_promotions += 1
                break
    assert false_promotions <= 0.05 * 500


def test_mcnemar_is_the_two_sided_binomial() -> None:
    counts = ((0, 0), (0, 1), (0, 6), (6, 0), (1, 5))
    expected = [1, 1, 2 / 2**6, 2 / 2**6, 14 / 2**6]
    p_values = [mcnemar_p_value(DiscordantPairs(*pair)) for pair in counts]
    assert p_values == pytest.approx(expected)
