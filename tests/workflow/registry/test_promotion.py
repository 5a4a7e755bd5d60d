"""The rule compares a candidate with the champion, review by review, and says why it decides."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.workflow.registry.submitting import IMDB, write_evaluation
from workflow.files import DamagedError
from workflow.params import Params, PromoteParams
from workflow.registry.promotion import (
    Decision,
    DiscordantPairs,
    StoredEvaluation,
    decide_promotion,
    mcnemar_p_value,
    read_evaluation,
    significance_level,
)


def new_evaluation(is_correct: list[bool], error: float = 0.05, **changes: Any) -> StoredEvaluation:
    """Return an evaluation on positive reviews, with this calibration error."""
    columns = {
        "actual": "positive",
        "predicted": np.where(is_correct, "positive", "negative"),
        "probability": np.float32(1 - error),
    }
    predictions = pd.DataFrame(columns, pd.Index(range(len(is_correct)), name="review"))
    return StoredEvaluation("abc", 10, predictions, IMDB)._replace(**changes)


CHAMPION = new_evaluation([True] * 10 + [False] * 10)


def test_version_that_is_better_beyond_chance_is_promoted(promote_params: PromoteParams) -> None:
    decision = decide_promotion(
        new_evaluation([True] * 17 + [False] * 3), CHAMPION, promote_params, 1
    )
    assert decision.promoted
    assert decision.reason == (
        "better than the champion: McNemar's exact p = 0.016, +7 of 20 reviews, "
        "test 1 against this champion, significance level 0.025"
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
def test_version_that_is_not_shown_to_be_better_is_not_promoted(
    is_correct: list[bool], promote_params: PromoteParams
) -> None:
    decision = decide_promotion(new_evaluation(is_correct), CHAMPION, promote_params, 1)
    assert not decision.promoted
    assert decision.reason.startswith("not shown to be better than the champion")


def test_significance_level_is_that_of_the_params(promote_params: PromoteParams) -> None:
    lenient = promote_params.model_copy(update={"alpha": 0.2})
    candidate = new_evaluation([True] * 15 + [False] * 5)
    assert decide_promotion(candidate, CHAMPION, lenient, 1).promoted


def test_each_further_candidate_is_tested_at_a_lower_level(promote_params: PromoteParams) -> None:
    candidate = new_evaluation([True] * 17 + [False] * 3)  # p = 0.016
    second = decide_promotion(candidate, CHAMPION, promote_params, 2)
    assert not second.promoted
    assert second.reason.endswith("test 2 against this champion, significance level 0.0083")
    stronger = new_evaluation([True] * 18 + [False] * 2)
    assert decide_promotion(stronger, CHAMPION, promote_params, 2).promoted


def test_all_levels_together_are_alpha() -> None:
    total = sum(significance_level(0.05, number) for number in range(1, 100_000))
    assert total == pytest.approx(0.05, 1e-4)


def test_version_with_a_worse_calibration_than_the_margin_is_not_promoted(
    promote_params: PromoteParams,
) -> None:
    decision = decide_promotion(
        new_evaluation([True] * 20, error=0.0601), CHAMPION, promote_params, 1
    )
    assert decision == Decision(False, "calibration error greater by 0.0101, more than 0.01")
    within = new_evaluation([True] * 20, error=0.0599)
    assert decide_promotion(within, CHAMPION, promote_params, 1).promoted


def test_calibration_is_compared_with_the_same_bins(promote_params: PromoteParams) -> None:
    """Compare two equally confident models. Only the number of bins distinguishes them."""
    probability = np.tile(np.array([0.85, 0.95], np.float32), 10)
    actual = np.where(probability > 0.9, "positive", "negative")
    table = CHAMPION.predictions.assign(probability=probability, actual=actual)
    champion = CHAMPION._replace(bins=1, predictions=table.assign(predicted="negative"))
    better = table.assign(predicted=table["actual"])
    candidate = champion._replace(bins=20, predictions=better)
    assert decide_promotion(candidate, champion, promote_params, 1).promoted


def test_evaluation_is_read_in_the_order_of_the_reviews(
    tmp_path: Path, default_params: Params
) -> None:
    folder = write_evaluation(tmp_path / "evaluate", default_params, correct=15)
    read = read_evaluation(folder)
    assert read.test_digest == "abc"
    assert read.bins == default_params.evaluate.calibration_bins
    assert read.dataset == IMDB
    assert read.predictions.index.tolist() == list(range(20))
    assert read.predictions["probability"].dtype == np.float32


def test_evaluation_with_changed_predictions_is_refused(
    tmp_path: Path, default_params: Params
) -> None:
    folder = write_evaluation(tmp_path / "evaluate", default_params, correct=15)
    predictions = folder / "predictions.csv"
    text = predictions.read_text(encoding="utf-8")
    predictions.write_text(text.replace(",negative,", ",positive,"), encoding="utf-8")
    with pytest.raises(DamagedError, match=r"predictions\.csv"):
        read_evaluation(folder)


def test_mcnemar_is_the_two_sided_binomial() -> None:
    counts = ((0, 0), (0, 1), (0, 6), (6, 0), (1, 5))
    expected = [1, 1, 2 / 2**6, 2 / 2**6, 14 / 2**6]
    p_values = [mcnemar_p_value(DiscordantPairs(*pair)) for pair in counts]
    assert p_values == pytest.approx(expected)
