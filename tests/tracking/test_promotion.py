"""The rule compares a candidate with the champion, review by review, and says why it decides."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sentiment.project.manifest import ComparedManifest
from sentiment.tracking.versions import Evaluation

from sentiment.params import EvaluateParams
from sentiment.tracking.promotion import (
    DAMAGED,
    OTHER_TEST_SET,
    REPETITION,
    DiscordantPairs,
    compare_with_champion,
    mcnemar_p_value,
    significance_level,
    why_not_compared,
)
from tests.evaluations import MANIFEST

ALPHA = 0.05
# The simulation
CHAMPIONS = 10_000
CANDIDATES = 10  # of each champion
REVIEWS = 20  # few, so that the same tables occur again
ACCURACY = 0.6  # of each model


def predictions(is_correct: list[bool]) -> pd.DataFrame:
    """Return predictions for positive reviews."""
    return pd.DataFrame(
        {
            "review": range(len(is_correct)),
            "actual": "positive",
            "predicted": np.where(is_correct, "positive", "negative"),
        }
    )


CHAMPION = predictions([True] * 10 + [False] * 10)
BETTER = predictions([True] * 17 + [False] * 3)  # p = 0.016
MUCH_BETTER = predictions([True] * 18 + [False] * 2)  # p = 0.0078


def is_promoted(candidate: pd.DataFrame, number: int = 1) -> bool:
    return compare_with_champion(candidate, CHAMPION, ALPHA, number).is_promoted


def test_a_candidate_that_is_better_beyond_chance_is_better() -> None:
    decision = compare_with_champion(BETTER, CHAMPION, ALPHA, 1)
    assert decision.is_promoted
    assert decision.reason == (
        "better than the champion: accuracy 0.8500 against 0.5000, McNemar's exact p = 0.016 at "
        "level 0.025 (test 1 against this champion, with only 20 test texts)"
    )


def test_a_candidate_that_is_worse_beyond_chance_is_worse() -> None:
    decision = compare_with_champion(CHAMPION, BETTER, ALPHA, 1)
    assert not decision.is_promoted
    assert decision.reason.startswith("worse than the champion: accuracy 0.5000 against 0.8500, ")


@pytest.mark.parametrize(
    "is_correct",
    [
        [True] * 15 + [False] * 5,  # five more: p = 0.0625
        [True] * 5 + [False] * 15,  # five less
        [True] * 10 + [False] * 10,  # the same
        [False] * 10 + [True] * 10,  # as many, but other reviews
    ],
)
def test_what_may_be_chance_is_no_difference(is_correct: list[bool]) -> None:
    decision = compare_with_champion(predictions(is_correct), CHAMPION, ALPHA, 1)
    assert not decision.is_promoted
    assert decision.reason.startswith("no difference from the champion is shown: accuracy ")


@pytest.mark.parametrize(
    ("changes", "reviews", "reason"),
    [
        ({"test_set_digest": "4567"}, 20, OTHER_TEST_SET),
        ({}, 20, REPETITION),
        ({"evaluate": EvaluateParams(threshold=0.6)}, 20, None),
        ({"repetition_key": "another"}, 20, None),
        ({"repetition_key": "another"}, 19, DAMAGED),
    ],
)
def test_only_another_model_for_the_same_test_set_is_compared(
    changes: dict[str, object], reviews: int, reason: str | None
) -> None:
    candidate = Evaluation(MANIFEST.model_copy(update=changes), BETTER)
    read = ComparedManifest.model_validate(MANIFEST.model_dump())
    assert why_not_compared(candidate, Evaluation(read, CHAMPION[:reviews])) == reason


def test_each_further_candidate_is_tested_at_a_lower_level() -> None:
    assert is_promoted(BETTER, number=1)
    assert not is_promoted(BETTER, number=2)
    assert is_promoted(MUCH_BETTER, number=2)
    reason = compare_with_champion(BETTER, CHAMPION, ALPHA, 2).reason
    assert "at level 0.0083 (test 2 against this champion" in reason


def test_reviews_may_be_in_any_order() -> None:
    shuffled = BETTER.sample(frac=1, random_state=0)
    in_order = compare_with_champion(BETTER, CHAMPION, ALPHA, 1)
    assert compare_with_champion(shuffled, CHAMPION, ALPHA, 1) == in_order


def test_a_large_test_set_needs_no_warning() -> None:
    large = predictions([True] * 500)
    assert "only" not in compare_with_champion(large, large, ALPHA, 1).reason


def test_all_levels_together_are_alpha() -> None:
    total = sum(significance_level(ALPHA, number) for number in range(1, 100_000))
    assert total == pytest.approx(ALPHA, 1e-4)


@cache
def is_promoted_by_counts(only_first: int, only_second: int, number: int) -> bool:
    """Return whether the rule promotes a candidate, by the number of reviews that one gets right.

    The decision depends on nothing else, so each table is made once.
    """
    same = REVIEWS - only_first - only_second
    champion = [True] * only_first + [False] * only_second + [True] * same
    candidate = [False] * only_first + [True] * only_second + [True] * same
    decision = compare_with_champion(predictions(candidate), predictions(champion), ALPHA, number)
    return decision.is_promoted


def test_candidates_that_are_no_better_are_rarely_promoted() -> None:
    """Try some candidates against each of many champions, until one is promoted by luck."""
    rng = np.random.default_rng(0)
    false_promotions = 0
    for _ in range(CHAMPIONS):
        champion = rng.random(REVIEWS) < ACCURACY
        candidates = rng.random((CANDIDATES, REVIEWS)) < ACCURACY
        only_first = (champion & ~candidates).sum(axis=1).tolist()
        only_second = (candidates & ~champion).sum(axis=1).tolist()
        false_promotions += any(
            is_promoted_by_counts(a, b, number)
            for number, (a, b) in enumerate(zip(only_first, only_second, strict=True), 1)
        )
    assert 0 < false_promotions <= ALPHA * CHAMPIONS


def test_mcnemar_is_the_two_sided_binomial() -> None:
    counts = ((0, 0), (0, 1), (0, 6), (6, 0), (1, 5))
    expected = [1, 1, 2 / 2**6, 2 / 2**6, 14 / 2**6]
    p_values = [mcnemar_p_value(DiscordantPairs(*pair)) for pair in counts]
    assert p_values == pytest.approx(expected)
