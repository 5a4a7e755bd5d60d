"""The best trials of a sweep, trained again with further seeds: the best mean wins.

The best single result of many trials owes something to luck.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from extras.sweep.config import SweepConfig
from extras.sweep.study import completed_trials, first_number, values_of

SEED = "train.seed"


class ConfirmedTrial(NamedTuple):
    """A trial that was trained again with every further seed.

    Attributes:
        trial: number of the trial.
        values: values of the trial, by dotted name.
        search_value: the metric in the search.
        seed_values: the metric with each further seed.
    """

    trial: int
    values: dict[str, Any]
    search_value: float
    seed_values: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.seed_values))

    @property
    def standard_deviation(self) -> float:
        return float(np.std(self.seed_values, ddof=1))


def best_trials(searched: optuna.Study, config: SweepConfig) -> list[FrozenTrial]:
    """Return the trials to confirm, the best one first."""
    return completed_trials(searched)[: config.confirm.top]


def with_seeds(trial: FrozenTrial, config: SweepConfig, seed: int) -> list[dict[str, Any]]:
    """Return the values of a trial with each further seed.

    Args:
        seed: the seed of all trials of the search.
    """
    return [
        {**values_of(trial), SEED: seed + number} for number in range(1, config.confirm.seeds + 1)
    ]


def values_to_confirm(
    searched: optuna.Study, config: SweepConfig, seed: int
) -> list[dict[str, Any]]:
    """Return the values of the best trials, with each further seed."""
    best = best_trials(searched, config)
    return [values for trial in best for values in with_seeds(trial, config, seed)]


def rank_confirmed_trials(
    searched: optuna.Study, confirmed: optuna.Study, config: SweepConfig, seed: int
) -> list[ConfirmedTrial]:
    """Return the best trials that were trained again with every further seed, the best mean first.

    Args:
        searched: the study that searched.
        confirmed: the study that confirmed.
        seed: the seed of all trials of the search.
    """
    trials = completed_trials(confirmed)
    ranked = []
    for trial in best_trials(searched, config):
        metrics = _metrics_of(with_seeds(trial, config, seed), trials)
        if len(metrics) == config.confirm.seeds:
            number = first_number(trial)
            ranked.append(ConfirmedTrial(number, values_of(trial), trial.value, metrics))
    sign = 1 if config.metric == "val_loss" else -1
    return sorted(ranked, key=lambda trial: sign * trial.mean)


def _metrics_of(given: Sequence[dict[str, Any]], trials: Sequence[FrozenTrial]) -> list[float]:
    """Return the metrics of the trials with these values, in the order of the values."""
    return [trial.value for values in given for trial in trials if values_of(trial) == values]
