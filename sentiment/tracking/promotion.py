"""The promotion rule: a candidate becomes champion if it is shown to be more accurate.

Everything here is a function of two evaluations, `alpha` (the significance level of all tests
against a champion together, `promote.alpha` in params.yaml) and a number of tests.
`sentiment.tracking.champion` reads these from the store, and writes the decision.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from sentiment.project.manifest import ComparedManifest, EvaluateManifest
    from sentiment.tracking.versions import Evaluation

MIN_SHOWN_P_VALUE = 1e-300
SMALL_TEST_SET = 500  # with fewer texts, messages and model cards say so
# Reasons against a promotion without a test
REPETITION = "it repeats the champion's training, with another seed or on another machine"
OTHER_TEST_SET = "the champion was evaluated on another test set"
DAMAGED = "the champion's predictions in MLflow are damaged"


# Outcomes of a test, which begin a sentence about the candidate
BETTER = "better than the champion"
WORSE = "worse than the champion"
NO_DIFFERENCE = "no difference from the champion is shown"


class Decision(NamedTuple):
    """A decision about a version.

    Attributes:
        is_promoted: whether the version becomes champion.
        reason: the reason, as a clause.
    """

    is_promoted: bool
    reason: str


def why_not_compared(
    candidate: "Evaluation[EvaluateManifest]", champion: "Evaluation[ComparedManifest]"
) -> str | None:
    """Return why a candidate is not tested against the champion, or None if it is.

    If repetitions were tested, the luckiest of several seeds would win.
    """
    ours = candidate.manifest
    theirs = champion.manifest
    if ours.test_set_digest != theirs.test_set_digest:
        return OTHER_TEST_SET
    is_same_training = ours.repetition_key == theirs.repetition_key
    if is_same_training and ours.evaluate.threshold == theirs.evaluate.threshold:
        return REPETITION
    if len(candidate.predictions) != len(champion.predictions):
        return DAMAGED
    return None


class DiscordantPairs(NamedTuple):
    """The number of reviews that exactly one of two models gets right."""

    only_first: int
    only_second: int


def significance_level(alpha: float, number: int) -> float:
    """Return the significance level of the n-th test against a champion.

    Among many candidates, one seems better by luck. Over all numbers, these levels add up to alpha.
    If the candidates do not depend on the results on the test set, the chance of any false
    promotion is therefore at most alpha (Bonferroni). People choose candidates by such results, so
    in practice alpha is no exact bound, but a brake.

    Source: Foster and Stine 2008, Alpha-investing (levels that are spent one after the other);
    Blum and Hardt 2015, The Ladder (why a leaderboard needs it).
    """
    return alpha / (number * (number + 1))


def compare_with_champion(
    candidate: "pd.DataFrame", champion: "pd.DataFrame", alpha: float, number: int
) -> Decision:
    """Compare a candidate with the champion by McNemar's exact test.

    Args:
        candidate: predictions, see `sentiment.evaluation.metrics`.
        champion: the champion's predictions for the same reviews.
        alpha: significance level of all tests against this champion together.
        number: number of this test against this champion, from 1.
    """
    from sentiment.evaluation.metrics import METRICS  # imports scikit-learn

    pairs = count_discordant_pairs(is_correct(champion), is_correct(candidate))
    p_value = mcnemar_p_value(pairs)
    level = significance_level(alpha, number)
    if p_value >= level:
        outcome = NO_DIFFERENCE
    elif pairs.only_second > pairs.only_first:
        outcome = BETTER
    else:
        outcome = WORSE
    accuracy = METRICS["accuracy"].compute
    return Decision(
        outcome == BETTER,
        f"{outcome}: accuracy {accuracy(candidate):.4f} against {accuracy(champion):.4f}, "
        f"McNemar's exact p {format_p_value(p_value)} at level "
        f"{level:.2g} (test {number} against this champion{small_test_set_note(candidate)})",
    )


def format_p_value(p_value: float) -> str:
    """Return the relation to a p-value: "= 0.01", or "< 1e-300" near the limit of float64."""
    return f"= {p_value:.2g}" if p_value >= MIN_SHOWN_P_VALUE else f"< {MIN_SHOWN_P_VALUE}"


def small_test_set_note(predictions: "pd.DataFrame") -> str:
    """Return a clause that says that there are few test texts, or "" if there are enough."""
    texts = len(predictions)
    return f", with only {texts} test texts" if texts < SMALL_TEST_SET else ""


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

    discordant = pairs.only_first + pairs.only_second
    return float(binomtest(pairs.only_second, discordant).pvalue) if discordant else 1.0
