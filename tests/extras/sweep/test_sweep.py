"""Which trials are trained again, which one wins, and what became of the search's lead."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import create_trial

from extras.sweep import study, sweep
from extras.sweep.sweep import Sweep
from extras.sweep.sweep_options import SweepOptions
from workflow.params import Params
from workflow.params_file import changed

UNITS = optuna.distributions.IntDistribution(1, 100)


@pytest.fixture(params=["val_accuracy", "val_loss"])
def found(
    request: pytest.FixtureRequest,
    small_params: Params,
    sweep_options: SweepOptions,
    tmp_path: Path,
) -> Sweep:
    """A sweep of which the best two trials are trained again under two seeds."""
    confirm = sweep_options.confirm.model_copy(update={"top": 2, "seeds": 2})
    options = sweep_options.model_copy(update={"metric": request.param, "confirm": confirm})
    params = changed(small_params, {"train.seed": 7})
    return Sweep(params, options, "sweep-1", f"sqlite:///{tmp_path}/sweeps.db", "parent")


def search(found: Sweep, values: dict[int, float]) -> None:
    """Let trials have found these accuracies, by their units, or the losses to them."""
    first, _ = sweep.studies(found)
    for units, accuracy in values.items():
        params, kinds = {"train.units": units}, {"train.units": UNITS}
        first.add_trial(
            create_trial(params=params, distributions=kinds, value=metric(found, accuracy))
        )


def confirm(found: Sweep, values: dict[tuple[int, int], float]) -> None:
    """Let them have found these under further seeds."""
    _, second = sweep.studies(found)
    for (units, seed), accuracy in values.items():
        given: dict[str, Any] = {study.VALUES: {"train.units": units, "train.seed": seed}}
        second.add_trial(create_trial(user_attrs=given, value=metric(found, accuracy)))


def metric(found: Sweep, accuracy: float) -> float:
    return accuracy if found.options.metric == "val_accuracy" else 1 - accuracy


def test_the_best_are_trained_again_under_the_seeds_after_their_own(found: Sweep) -> None:
    search(found, {1: 0.5, 2: 0.75, 3: 0.625})
    first, _ = sweep.studies(found)
    again = [(each["train.units"], each["train.seed"]) for each in sweep.to_confirm(found, first)]
    assert again == [(2, 8), (2, 9), (3, 8), (3, 9)]


def test_equal_values_are_trained_again_once(found: Sweep) -> None:
    for _ in range(2):
        search(found, {2: 0.75})
    first, _ = sweep.studies(found)
    assert len(sweep.to_confirm(found, first)) == 2


def test_the_best_mean_wins_and_not_the_best_trial(found: Sweep) -> None:
    search(found, {1: 0.5, 2: 0.75, 3: 0.625})
    confirm(found, {(2, 8): 0.5, (2, 9): 0.5625, (3, 8): 0.625, (3, 9): 0.5625})
    winner, other = sweep.candidates(found)
    assert (winner.values, other.values) == ({"train.units": 3}, {"train.units": 2})
    assert winner.mean == metric(found, 0.59375)
    assert winner.spread == pytest.approx(0.0441942)


@pytest.mark.parametrize(
    ("means", "after"),
    [
        ((0.8860, 0.8900), "trails trial 1 by 0.0040."),
        ((0.8860, 0.8855), "leads trial 1 by 0.0005."),
    ],
)
def test_the_lead_of_the_search_s_best_trial_is_told_before_and_after_confirmation(
    found: Sweep, means: tuple[float, float], after: str
) -> None:
    """Against the others: a trial that lost its lead may be better than it was in the search."""
    search(found, {2: 0.8850, 3: 0.8840})
    again = [((units, seed), means[units - 2]) for units in (2, 3) for seed in (8, 9)]
    confirm(found, dict(again))
    told = sweep.about_lead(found, sweep.candidates(found))
    assert told == (
        f"In the search, trial 0 led trial 1 by 0.0010. Under the further seeds it {after}"
    )


def test_one_confirmed_trial_has_no_lead(found: Sweep) -> None:
    search(found, {2: 0.75, 3: 0.625})
    confirm(found, {(2, 8): 0.875, (2, 9): 0.875})
    told = sweep.about_lead(found, sweep.candidates(found))
    assert told == "Only one trial is confirmed: there is no other to compare it with."


def test_a_trial_that_lacks_a_seed_is_no_candidate_and_the_sweep_unconfirmed(found: Sweep) -> None:
    search(found, {2: 0.75, 3: 0.625})
    confirm(found, {(2, 8): 0.5, (2, 9): 0.5, (3, 8): 0.625})
    assert [each.values for each in sweep.candidates(found)] == [{"train.units": 2}]
    assert sweep.unconfirmed(found, *sweep.studies(found))
    confirm(found, {(3, 9): 0.5})
    assert not sweep.unconfirmed(found, *sweep.studies(found))


def test_the_best_so_far_is_that_of_the_trials_until_then(found: Sweep) -> None:
    search(found, {1: 0.5, 2: 0.75, 3: 0.625})
    first, _ = sweep.studies(found)
    points = sweep.best_so_far(first)
    assert [value for value, _, _ in points] == [metric(found, x) for x in (0.5, 0.75, 0.75)]
    assert [count for _, _, count in points] == [1, 2, 3]


def test_a_sweep_that_begins_names_those_that_have_not_ended(found: Sweep) -> None:
    ended, killed = found._replace(name="ended"), found._replace(name="killed")
    for other in (ended, killed):
        search(other, {1: 0.5})
    study.want(sweep.studies(killed)[0], 2)
    assert sweep.unfinished(found) == ["killed"]
    search(found, {1: 0.5})
    assert sweep.unfinished(found) == []
