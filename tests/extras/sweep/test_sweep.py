"""Which trials are trained again, which one wins, and what became of the search's lead."""

from pathlib import Path

import mlflow
import optuna
import pytest
from optuna.trial import create_trial

from extras.sweep import study
from extras.sweep import sweep as sweeps
from extras.sweep.sweep import Sweep
from workflow.params_file import changed
from workflow.runs import store

UNITS = optuna.distributions.IntDistribution(1, 100)

pytestmark = pytest.mark.usefixtures("url")


@pytest.fixture(params=["val_accuracy", "val_loss"])
def sweep(request: pytest.FixtureRequest, small_sweep: Sweep) -> Sweep:
    """One whose seeds begin at 7."""
    options = small_sweep.options.model_copy(update={"metric": request.param})
    params = changed(small_sweep.params, {"train.seed": 7})
    return small_sweep._replace(params=params, options=options)


def search(sweep: Sweep, values: dict[int, float]) -> optuna.Study:
    """Let trials have had these accuracies, by their units, or the losses to them."""
    first, _ = sweeps.studies(sweep)
    for units, accuracy in values.items():
        params, kinds = {"train.units": units}, {"train.units": UNITS}
        first.add_trial(
            create_trial(params=params, distributions=kinds, value=metric(sweep, accuracy))
        )
    return first


def confirm(sweep: Sweep, values: dict[tuple[int, int], float]) -> None:
    """Let them have had these under further seeds."""
    _, second = sweeps.studies(sweep)
    for (units, seed), accuracy in values.items():
        attrs = {study.VALUES: {"train.units": units, "train.seed": seed}}
        second.add_trial(create_trial(user_attrs=attrs, value=metric(sweep, accuracy)))


def metric(sweep: Sweep, accuracy: float) -> float:
    return accuracy if sweep.options.metric == "val_accuracy" else 1 - accuracy


def test_the_best_are_trained_again_under_the_seeds_after_their_own(sweep: Sweep) -> None:
    """Those with equal values once."""
    first = search(sweep, {1: 0.5, 2: 0.75, 3: 0.625})
    again = [[*values.values()] for values in sweeps.to_confirm(sweep, first)]
    assert again == [[2, 8], [2, 9], [3, 8], [3, 9]]
    search(sweep, {2: 0.75})
    assert [[*values.values()] for values in sweeps.to_confirm(sweep, first)] == [[2, 8], [2, 9]]


def test_the_best_mean_wins_and_not_the_best_trial(sweep: Sweep) -> None:
    search(sweep, {1: 0.5, 2: 0.75, 3: 0.625})
    confirm(sweep, {(2, 8): 0.5, (2, 9): 0.5625, (3, 8): 0.625, (3, 9): 0.5625})
    winner, other = sweeps.candidates(sweep)
    assert (winner.values, other.values) == ({"train.units": 3}, {"train.units": 2})
    assert winner.mean == metric(sweep, 0.59375)
    assert winner.spread == pytest.approx(0.0441942)


@pytest.mark.parametrize(
    ("means", "after"),
    [
        ((0.8860, 0.8900), "trails trial 1 by 0.0040."),
        ((0.8860, 0.8855), "leads trial 1 by 0.0005."),
    ],
)
def test_the_lead_of_the_search_s_best_trial_is_told_before_and_after_confirmation(
    sweep: Sweep, means: tuple[float, float], after: str
) -> None:
    """Against the others: a trial that lost its lead may be better than it was in the search."""
    search(sweep, {2: 0.8850, 3: 0.8840})
    confirm(sweep, {(units, seed): means[units - 2] for units in (2, 3) for seed in (8, 9)})
    assert sweeps.about_lead(sweep, sweeps.candidates(sweep)) == (
        f"In the search, trial 0 led trial 1 by 0.0010. Under the further seeds it {after}"
    )


def test_a_trial_that_lacks_a_seed_is_no_candidate_and_the_sweep_unfinished(sweep: Sweep) -> None:
    search(sweep, {2: 0.75, 3: 0.625})
    confirm(sweep, {(2, 8): 0.5, (2, 9): 0.5, (3, 8): 0.625})
    (only,) = sweeps.candidates(sweep)
    assert only.values == {"train.units": 2}
    assert "there is no other to compare it with" in sweeps.about_lead(sweep, [only])
    assert not sweeps.is_finished(sweep)
    confirm(sweep, {(3, 9): 0.5})
    assert sweeps.is_finished(sweep)
    study.want(sweeps.studies(sweep)[0], 3)
    assert not sweeps.is_finished(sweep)


def test_the_best_until_each_trial_s_end_is_logged_once(
    sweep: Sweep, root_with_store: Path
) -> None:
    assert root_with_store.is_dir()
    experiment, client = store.connect(), mlflow.MlflowClient()
    sweep = sweep._replace(run_id=client.create_run(experiment).info.run_id)
    first = search(sweep, {1: 0.5, 2: 0.75})
    sweeps.log_best(sweep, first)
    search(sweep, {3: 0.625})
    sweeps.log_best(sweep, first)
    points = client.get_metric_history(sweep.run_id, f"best_{sweep.options.metric}")
    assert [point.value for point in points] == [metric(sweep, x) for x in (0.5, 0.75, 0.75)]
    assert [point.step for point in points] == [1, 2, 3]
    times = [trial.datetime_complete.timestamp() for trial in first.trials]
    assert [point.timestamp for point in points] == [int(1000 * seconds) for seconds in times]


def test_a_sweep_that_begins_names_those_that_have_not_ended(small_sweep: Sweep) -> None:
    ended, killed = (small_sweep._replace(name=name) for name in ("ended", "killed"))
    search(ended, {1: 0.5})
    study.want(search(killed, {1: 0.5}), 2)
    assert sweeps.unfinished(small_sweep) == ["killed"]
    search(small_sweep, {1: 0.5})
    assert sweeps.unfinished(small_sweep) == []
