"""The rule by which an evaluated model becomes champion: the `promote` section of `params.yaml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow import files
from workflow.params import Promote

NEEDED = [files.ABOUT, "metrics.json", "predictions.csv"]  # of an evaluation


class Evaluated(NamedTuple):
    """A test set's answers, as the rule compares them."""

    test_data: str  # digest of the reviews
    bins: int  # groups of probability in the calibration error
    predictions: pd.DataFrame  # see `sentiment.evaluation.metrics`, in the order of the reviews
    data: Mapping[str, Any] = {}  # what shaped the reviews, but for which texts were added


class Decision(NamedTuple):
    """Whether a version becomes champion; why, in a clause; whether that took a test of its own."""

    promoted: bool
    reason: str
    tested: bool = False


class Discordant(NamedTuple):
    """Reviews that just one of two models gets right."""

    only_a: int
    only_b: int


def level(alpha: float, number: int) -> float:
    """The significance level for the candidate of this number, from 1, against one champion.

    Whoever tries many candidates finds a better one by luck. Over all numbers these levels add up
    to alpha, so that the chance of any false promotion stays below it however many are tried.

    Source: Foster and Stine 2008, Alpha-investing (levels that are spent one after the other);
    Blum and Hardt 2015, The Ladder (why a leaderboard needs it).
    """
    return alpha / (number * (number + 1))


def decide(candidate: Evaluated, champion: Evaluated, rule: Promote, number: int = 1) -> Decision:
    """Compare a model with the champion, both evaluated on the same reviews.

    `number` says which candidate this is that is tested against this champion, from 1.
    """
    from sentiment.evaluation import metrics  # imports scikit-learn, which takes a second

    errors = [  # by the same groups for both: the error depends on their number
        metrics.calibration_error(evaluated.predictions, candidate.bins)
        for evaluated in (candidate, champion)
    ]
    worse = errors[0] - errors[1]
    if worse > rule.calibration_margin:
        return Decision(
            False, f"calibration error greater by {worse:.4f}, more than {rule.calibration_margin}"
        )
    return _test(_right(candidate), _right(champion), rule.alpha, number)


def discordant(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Discordant:
    """Count them, of whether each model is right about the same reviews, both shape (reviews,)."""
    return Discordant(int((a & ~b).sum()), int((b & ~a).sum()))


def mcnemar(counts: Discordant) -> float:
    """The p of McNemar's exact test, two-sided, of the models being equally often right.

    Source: McNemar 1947, Note on the sampling error of the difference between correlated
    proportions; exact by the binomial distribution.
    """
    from scipy.stats import binomtest

    either = counts.only_a + counts.only_b
    return float(binomtest(counts.only_b, either).pvalue) if either else 1.0


def _right(evaluated: Evaluated) -> NDArray[np.bool_]:
    table = evaluated.predictions
    return (table["actual"] == table["predicted"]).to_numpy(bool)


def _test(
    candidate: NDArray[np.bool_], champion: NDArray[np.bool_], alpha: float, number: int
) -> Decision:
    counts = discordant(champion, candidate)
    p = mcnemar(counts)
    better = counts.only_b - counts.only_a
    least = level(alpha, number)
    test = (
        f"McNemar's exact p = {p:.2g}, {better:+,} of {len(candidate):,} reviews, "
        f"as candidate {number} against it tested at {least:.2g}"
    )
    if better > 0 and p < least:
        return Decision(True, f"better than the champion: {test}", tested=True)
    return Decision(False, f"not shown to be better than the champion: {test}", tested=True)


def read_evaluated(folder: Path) -> Evaluated:
    """Read what the rule needs from a folder that `evaluate` wrote, or a copy of it.

    Raises UserError where a file is missing or was changed.
    """
    about = files.read_about(folder)
    params = about["params"]
    table = files.checked(folder / "predictions.csv", about["files"])
    predictions = pd.read_csv(table, dtype={"probability": np.float32})
    return Evaluated(
        params[files.TEST_DATA],
        params["evaluate.calibration_bins"],
        predictions.set_index("review").sort_index(),
        {k: v for k, v in params.items() if k.startswith("fetch.") and k != "fetch.add_sha256"},
    )
