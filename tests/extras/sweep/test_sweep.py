"""The best trials are trained again, and the best mean wins."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from extras.sweep import __main__ as command
from extras.sweep import report, study
from extras.sweep.config import SweepConfig
from extras.sweep.confirmed_trials import ConfirmedTrial, rank_confirmed_trials, values_to_confirm
from extras.sweep.run import read_fetched_dataset
from sentiment.data.params import describe_dataset
from sentiment.errors import UserError
from workflow import downloads, files
from workflow.about import AboutFetch, write_about
from workflow.files import FETCH
from workflow.params import Params
from workflow.params_file import with_changes

SEED = 7
UNITS = optuna.distributions.IntDistribution(1, 100)
RATE = optuna.distributions.FloatDistribution(0, 1)

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(params=["val_accuracy", "val_loss"])
def config(request: pytest.FixtureRequest, config: SweepConfig) -> SweepConfig:
    """A config that confirms the best two with two seeds."""
    confirm = config.confirm.model_copy(update={"top": 2, "seeds": 2})
    return config.model_copy(update={"metric": request.param, "confirm": confirm})


def metric(config: SweepConfig, accuracy: float) -> float:
    """Return a value of the metric that is as good as an accuracy."""
    return accuracy if config.metric == "val_accuracy" else 1 - accuracy


def search(config: SweepConfig, accuracies: dict[int, float]) -> optuna.Study:
    """Return a study with these accuracies by units."""
    searched = study.open_study("some", config)
    for units, accuracy in accuracies.items():
        params = {"train.units": units}
        distributions = {"train.units": UNITS}
        value = metric(config, accuracy)
        searched.add_trial(create_trial(params=params, distributions=distributions, value=value))
    return searched


def confirm(config: SweepConfig, accuracies: dict[tuple[int, int], float]) -> optuna.Study:
    """Return a study that confirmed with these accuracies by units and seed."""
    confirmed = study.open_study("some" + study.CONFIRMED, config)
    for (units, seed), accuracy in accuracies.items():
        attributes = {study.VALUES: {"train.units": units, "train.seed": seed}}
        value = metric(config, accuracy)
        confirmed.add_trial(create_trial(user_attrs=attributes, value=value))
    return confirmed


def test_best_trials_are_trained_again_with_the_next_seeds(config: SweepConfig) -> None:
    searched = search(config, {1: 0.5, 2: 0.75, 3: 0.625})
    again = [[*values.values()] for values in values_to_confirm(searched, config, SEED)]
    assert again == [[2, 8], [2, 9], [3, 8], [3, 9]]


def test_best_mean_wins(config: SweepConfig) -> None:
    searched = search(config, {1: 0.5, 2: 0.75, 3: 0.625})
    confirmed = confirm(config, {(2, 8): 0.5, (2, 9): 0.5625, (3, 8): 0.625, (3, 9): 0.5625})
    winner, other = rank_confirmed_trials(searched, confirmed, config, SEED)
    assert (winner.values, other.values) == ({"train.units": 3}, {"train.units": 2})
    assert (winner.trial, winner.search_value) == (2, metric(config, 0.625))
    assert winner.mean == metric(config, 0.59375)
    assert winner.standard_deviation == pytest.approx(0.0441942)


def test_trial_without_every_further_seed_is_not_ranked(config: SweepConfig) -> None:
    searched = search(config, {2: 0.75, 3: 0.625})
    confirmed = confirm(config, {(2, 8): 0.5, (3, 8): 0.625, (3, 9): 0.5625})
    (only,) = rank_confirmed_trials(searched, confirmed, config, SEED)
    assert only.values == {"train.units": 3}


def test_table_has_the_mean_and_the_standard_deviation_of_each_confirmed_trial() -> None:
    confirmed = ConfirmedTrial(4, {"train.units": 32, "pad.max_length": 30}, 0.9, [0.8, 0.78])
    table = report.format_confirmed_trials([confirmed], "val_accuracy")
    row = "     4    0.9000    0.7900 ± 0.0141  train.units=32, pad.max_length=30"
    assert table.splitlines()[-1] == row


def test_plots_are_those_of_optuna_and_need_four_trials(config: SweepConfig) -> None:
    searched = study.open_study("some", config)
    distributions = {"train.units": UNITS, "train.learning_rate": RATE}
    for number in range(1, 5):
        assert report.draw_plots(searched, config.metric) == {}
        params = {"train.units": number, "train.learning_rate": number / 10}
        searched.add_trial(
            create_trial(value=number / 5, params=params, distributions=distributions)
        )
    searched.add_trial(create_trial(state=TrialState.FAIL))
    assert set(report.draw_plots(searched, config.metric)) == {"history", "importances", "values"}


def test_plots_of_trials_that_are_all_equally_good_are_drawn(config: SweepConfig) -> None:
    searched = search(config, dict.fromkeys(range(1, 6), 0.5))
    assert set(report.draw_plots(searched, config.metric)) == {"history", "importances", "values"}


@pytest.mark.parametrize(("memory", "workers"), [(64e9, 8), (8e9, 2), (1e9, 1)])
def test_number_of_workers_follows_from_cores_and_free_memory(
    monkeypatch: pytest.MonkeyPatch, memory: float, workers: int
) -> None:
    class Memory:
        available = memory

    monkeypatch.setattr(command, "usable_cores", lambda: 8)
    monkeypatch.setattr("psutil.virtual_memory", Memory)
    assert command.default_workers() == workers


@pytest.mark.usefixtures("root")
def test_texts_that_changed_or_were_added_since_they_were_fetched_are_refused(
    small_params: Params,
) -> None:
    own = Path("own.csv")
    added = Path("added.csv")
    for table in (own, added):
        table.write_text("text,label\n", encoding="utf-8")
    alone = with_changes(small_params, {"fetch.dataset": "table", "fetch.table.train": str(own)})
    joined = with_changes(alone, {"fetch.added_texts": str(added)})
    with (
        downloads.local_added_tables(str(added)) as (_, digest),
        files.atomic_folder(FETCH) as folder,
    ):
        dataset = describe_dataset(
            joined.fetch, train_sha256=files.sha256(own), added_texts_sha256=digest
        )
        write_about(folder, AboutFetch(dataset=dataset))
    assert read_fetched_dataset(joined.fetch) == dataset
    refusal = "data/fetch has other reviews .*`dvc repro fetch`"
    with pytest.raises(UserError, match=refusal):
        read_fetched_dataset(alone.fetch)
    for table in (own, added):
        before = table.read_bytes()
        table.write_text("text,label\nanother,1\n", encoding="utf-8")
        with pytest.raises(UserError, match=refusal):
            read_fetched_dataset(joined.fetch)
        table.write_bytes(before)
