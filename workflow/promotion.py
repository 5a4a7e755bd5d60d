"""The promotion rule: a candidate becomes champion if it is shown to be more accurate."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

SMALL_TEST_SET = 500  # with fewer texts, messages and model cards say so
TEST_SET_COLUMNS = ["review", "actual", "words"]  # equal columns: the same test set


class Decision(NamedTuple):
    """A decision about a candidate.

    Attributes:
        promoted: whether the candidate becomes champion.
        reason: the reason, as a clause.
    """

    promoted: bool
    reason: str


class DiscordantPairs(NamedTuple):
    """The number of reviews that exactly one of two models gets right."""

    only_a: int
    only_b: int


def significance_level(alpha: float, number: int) -> float:
    """Return the significance level of the n-th test against a champion.

    Among many candidates, one seems better by luck. Over all numbers, these levels add up to alpha,
    so that the chance of any false promotion stays below alpha, however many candidates are tried.

    Source: Foster and Stine 2008, Alpha-investing (levels that are spent one after the other);
    Blum and Hardt 2015, The Ladder (why a leaderboard needs it).
    """
    return alpha / (number * (number + 1))


def have_same_test_set(a: "pd.DataFrame", b: "pd.DataFrame") -> bool:
    """Return whether two tables of predictions are for the same reviews, in any order."""
    first, second = (table[TEST_SET_COLUMNS].sort_values("review") for table in (a, b))
    return np.array_equal(first.to_numpy(), second.to_numpy())


def decide_promotion(
    candidate: "pd.DataFrame", champion: "pd.DataFrame", alpha: float, number: int
) -> Decision:
    """Compare a candidate with the champion by McNemar's exact test.

    Args:
        candidate: predictions, see `sentiment.evaluation.metrics`.
        champion: the champion's predictions for the same reviews.
        alpha: significance level of all tests against this champion together.
        number: number of this test against this champion, from 1.
    """
    pairs = count_discordant_pairs(is_correct(champion), is_correct(candidate))
    p_value = mcnemar_p_value(pairs)
    level = significance_level(alpha, number)
    test = (
        f"accuracy {is_correct(candidate).mean():.4f} against {is_correct(champion).mean():.4f}, "
        f"McNemar's exact p = {p_value:.2g} at level {level:.2g} (test {number} against this "
        "champion)"
    )
    if len(candidate) < SMALL_TEST_SET:
        test += f", on only {len(candidate)} test texts"
    if pairs.only_b > pairs.only_a and p_value < level:
        return Decision(True, f"better than the champion: {test}")
    return Decision(False, f"not shown to be better than the champion: {test}")


def is_correct(predictions: "pd.DataFrame") -> NDArray[np.bool_]:
    """Return whether each prediction is right, in the order of the reviews, shape (reviews,)."""
    table = predictions.sort_values("review")
    return (table["actual"] == table["predicted"]).to_numpy(bool)


def count_discordant_pairs(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> DiscordantPairs:
    """Count discordant pairs, given whether each model gets each review right, shape (reviews,)."""
    return DiscordantPairs(int((a & ~b).sum()), int((b & ~a).sum()))


def mcnemar_p_value(pairs: DiscordantPairs) -> float:
    """Return the two-sided p-value of McNemar's exact test that two models are equally accurate.

    Source: McNemar 1947, Note on the sampling error of the difference between correlated
    proportions; exact by the binomial distribution.
    """
    from scipy.stats import binomtest

    discordant = pairs.only_a + pairs.only_b
    return float(binomtest(pairs.only_b, discordant).pvalue) if discordant else 1.0
