"""The promotion rule, with the params of the section `promote`."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.data.params import Dataset
from workflow import files
from workflow.about import AboutEvaluate, read_about
from workflow.outputs import TEST_DIGEST
from workflow.params import PromoteParams

# The files of an evaluation that the rule reads.
NEEDED_FILES = [files.ABOUT_FILE, "metrics.json", "predictions.csv"]


class StoredEvaluation(NamedTuple):
    """A stored evaluation of a model, as the promotion rule compares it.

    Attributes:
        test_digest: digest of the test reviews.
        bins: number of groups by probability in the calibration error.
        predictions: see `sentiment.evaluation.metrics`, in the order of the reviews.
        dataset: the dataset of the test reviews.
    """

    test_digest: str
    bins: int
    predictions: pd.DataFrame
    dataset: Dataset


class Decision(NamedTuple):
    """A decision about a candidate.

    Attributes:
        promoted: whether the candidate becomes champion.
        reason: the reason, as a clause.
        tested: whether a significance test was used.
    """

    promoted: bool
    reason: str
    tested: bool = False


class DiscordantPairs(NamedTuple):
    """The number of reviews that exactly one of two models gets right."""

    only_a: int
    only_b: int


def significance_level(alpha: float, number: int) -> float:
    """Return the significance level of the n-th test against a champion.

    Whoever tries many candidates finds a better one by luck. Over all numbers, these levels add up
    to alpha. The chance of any false promotion therefore stays below alpha, however many are tried.

    Source: Foster and Stine 2008, Alpha-investing (levels that are spent one after the other);
    Blum and Hardt 2015, The Ladder (why a leaderboard needs it).
    """
    return alpha / (number * (number + 1))


def decide_promotion(
    candidate: StoredEvaluation, champion: StoredEvaluation, params: PromoteParams, number: int
) -> Decision:
    """Compare a candidate with the champion. Both are evaluated on the same reviews.

    Args:
        candidate: evaluation of the candidate.
        champion: evaluation of the champion.
        params: the section `promote`.
        number: number of the test against this champion, from 1.
    """
    from sentiment.evaluation import metrics  # imports scikit-learn, which takes a second

    # The calibration error depends on the number of bins: use the same for both.
    candidate_error = metrics.calibration_error(candidate.predictions, candidate.bins)
    champion_error = metrics.calibration_error(champion.predictions, candidate.bins)
    increase = candidate_error - champion_error
    if increase > params.calibration_margin:
        return Decision(
            promoted=False,
            reason=f"calibration error greater by {increase:.4f}, more than "
            f"{params.calibration_margin}",
        )
    pairs = count_discordant_pairs(_is_correct(champion), _is_correct(candidate))
    p_value = mcnemar_p_value(pairs)
    level = significance_level(params.alpha, number)
    lead = pairs.only_b - pairs.only_a
    test = (
        f"McNemar's exact p = {p_value:.2g}, {lead:+,} of {len(candidate.predictions):,} reviews, "
        f"test {number} against this champion, significance level {level:.2g}"
    )
    if lead > 0 and p_value < level:
        return Decision(True, f"better than the champion: {test}", tested=True)
    return Decision(False, f"not shown to be better than the champion: {test}", tested=True)


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


def _is_correct(evaluated: StoredEvaluation) -> NDArray[np.bool_]:
    table = evaluated.predictions
    return (table["actual"] == table["predicted"]).to_numpy(bool)


def read_evaluation(folder: Path) -> StoredEvaluation:
    """Read what the rule needs from the folder of an evaluation, or a copy of it.

    Raises:
        DamagedError: a file is missing or was changed.
    """
    about = read_about(folder, AboutEvaluate)
    table = files.verified(folder / "predictions.csv", about.files)
    predictions = pd.read_csv(table, dtype={"probability": np.float32})
    return StoredEvaluation(
        test_digest=about.digests[TEST_DIGEST],
        bins=about.evaluate.calibration_bins,
        predictions=predictions.set_index("review").sort_index(),
        dataset=about.dataset,
    )
