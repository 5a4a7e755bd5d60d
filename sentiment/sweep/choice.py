"""Whether the best trial of a sweep is better than the params in params.yaml."""

import math

import optuna
from optuna.trial import TrialState

from sentiment.errors import UserError
from sentiment.model.batches import train_validation_split
from sentiment.params import Params
from sentiment.sweep.study import BEST, METRIC, ended_trials, find_present, find_trial
from sentiment.text.reviews import Reviews

STANDARD_ERRORS = 2  # by which the best trial has to be better


def count_validation_texts(reviews: Reviews, share: float) -> int:
    """Return how many of the training texts are in the validation set."""
    return len(train_validation_split(reviews.labels, reviews.labels, share)[1].y)


def standard_error(first: float, second: float, texts: int) -> float:
    """Return the standard error of the difference of two accuracies on as many texts.

    The texts are taken as unpaired, which makes it larger than it is.
    """
    return math.sqrt((first * (1 - first) + second * (1 - second)) / texts)


def compare_best(study: optuna.Study, params: Params, texts: int) -> tuple[bool, str]:
    """Compare the best trial with the params in params.yaml.

    Args:
        texts: number of the validation texts.

    Returns:
        Whether the gain of the best trial exceeds `STANDARD_ERRORS`, and what a user should know.

    Raises:
        UserError: one of the two was not trained to its end.
    """
    best = find_trial(study, BEST)
    present = find_present(study, params, TrialState.COMPLETE)
    if present is None:
        raise UserError(
            "No trial has the values in params.yaml. To train them: sentiment sweep --trials "
            f"{len(ended_trials(study)) + 1}. To take the best trial all the same: --apply "
            f"{best.number}"
        )
    if best.number == present.number:
        return False, f"No trial is better than params.yaml: {METRIC} {present.value:.4f}."
    gain = best.value - present.value
    limit = STANDARD_ERRORS * standard_error(best.value, present.value, texts)
    is_better = gain > limit
    lines = [
        f"Trial {best.number} has {METRIC} {best.value:.4f}, and params.yaml {present.value:.4f} "
        f"(trial {present.number}).",
        f"The gain of {gain:.4f} {'exceeds' if is_better else 'does not exceed'} two standard "
        f"errors ({limit:.4f}, {texts:,} validation texts).",
    ]
    if not is_better:
        lines.append(f"params.yaml stays as it is. To take the trial: --apply {best.number}")
    return is_better, "\n".join(lines)
