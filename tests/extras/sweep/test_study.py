"""Processes and machines share the trials of a sweep."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from extras.sweep import study, workers
from extras.sweep.space import CONFIG_FILE, read_config
from extras.sweep.study import CONFIRMS, DONE, SEED, count_trials
from sentiment.errors import StoreError, UserError
from sentiment.params import Params
from tests.project import ROOT
from tests.services import postgres

DISTRIBUTIONS = {"x": optuna.distributions.FloatDistribution(0, 1)}


@pytest.fixture
def storage(in_tmp_path: Path) -> RDBStorage:
    return study.open_storage(f"sqlite:///{in_tmp_path}/sweeps.db")


@pytest.fixture
def searched(storage: RDBStorage) -> optuna.Study:
    return study.open_search(storage, "some")


@pytest.fixture
def confirmed(storage: RDBStorage) -> optuna.Study:
    return study.open_confirmation(storage, "some")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/sweeps.db"
    else:
        with postgres() as address:
            yield address


def add_trials(to: optuna.Study, *values: float) -> None:
    """Add a completed trial for each value, with x = value."""
    for value in values:
        to.add_trial(create_trial(value=value, params={"x": value}, distributions=DISTRIBUTIONS))


def x(trial: optuna.Trial) -> float:
    return float(trial.suggest_float("x", 0, 1))


def test_two_workers_train_at_most_one_trial_more_than_was_asked_for(url: str) -> None:
    study.open_search(study.open_storage(url), "some")
    both_train = Barrier(2, timeout=60)

    def objective(trial: optuna.Trial) -> float:
        if trial.number < 2:
            both_train.wait()
        if trial.number % 2:
            raise optuna.TrialPruned
        return x(trial)

    def work() -> None:
        workers.run_trials(study.open_search(study.open_storage(url), "some"), objective, 8)

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    searched = study.open_search(study.open_storage(url), "some")
    assert 8 <= count_trials(searched, *DONE) <= 9
    work()  # called again, it trains nothing
    assert len(searched.trials) == count_trials(searched, *DONE) <= 9


def test_process_trains_a_limited_number_of_trials(searched: optuna.Study) -> None:
    workers.run_trials(searched, x, 100)
    assert count_trials(searched, *DONE) == workers.TRIALS_A_PROCESS


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_values_of_a_lost_trial_are_trained_again(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found although it was lost before its first heartbeat."""
    monkeypatch.setattr(study, "GRACE_SECONDS", 1)
    storage = study.open_storage(f"sqlite:///{in_tmp_path}/sweeps.db")
    searched = study.open_search(storage, "some")
    value = x(searched.ask())
    study.fail_lost_trials(storage, searched)
    assert [trial.state for trial in searched.trials] == [TrialState.FAIL, TrialState.WAITING]
    workers.run_trials(searched, x, 1)
    assert searched.best_trial.params == {"x": value}


def test_best_trials_are_enqueued_with_the_seeds_that_they_lack(
    searched: optuna.Study, confirmed: optuna.Study
) -> None:
    add_trials(searched, 0.5, 0.75, 0.625)
    best = study.best_trials(searched, 2)
    study.enqueue_confirmations(confirmed, best, [8, 9])
    study.enqueue_confirmations(confirmed, best, [8, 9, 10])
    trained = []

    def objective(trial: optuna.Trial) -> float:
        trained.append((x(trial), trial.user_attrs[CONFIRMS], trial.user_attrs[SEED]))
        return 0.5

    workers.train_enqueued(confirmed, objective)
    assert trained == [
        *[(0.75, 1, 8), (0.75, 1, 9), (0.625, 2, 8), (0.625, 2, 9)],
        *[(0.75, 1, 10), (0.625, 2, 10)],
    ]


def test_confirmation_trains_nothing_that_is_not_enqueued(
    confirmed: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker takes the last trial after this one has counted it."""
    monkeypatch.setattr(workers, "count_trials", lambda *_: len(confirmed.trials) == 0)
    workers.train_enqueued(confirmed, x)
    assert [trial.params for trial in confirmed.trials] == [{}]


def test_best_mean_wins_among_those_with_every_seed(
    searched: optuna.Study, confirmed: optuna.Study
) -> None:
    add_trials(searched, 0.5, 0.75, 0.625)
    results = {(0, 8): 0.9, (1, 8): 0.5, (1, 9): 0.5625, (2, 8): 0.625, (2, 9): 0.5625}
    for (number, seed), value in results.items():
        attributes = {CONFIRMS: number, SEED: seed}
        confirmed.add_trial(create_trial(value=value, user_attrs=attributes))
    table = study.rank_confirmed_trials(confirmed, study.best_trials(searched, 3), [8, 9])
    assert table["trial"].tolist() == [2, 1]
    assert table["search"].tolist() == [0.625, 0.75]
    assert table["mean"].tolist() == [0.59375, 0.53125]
    assert table["sd"][0] == pytest.approx(0.0441942)


def test_study_belongs_to_data_and_to_params_that_are_not_searched(
    in_tmp_path: Path, small_params: Params
) -> None:
    config = read_config(small_params, ROOT / CONFIG_FILE)
    (in_tmp_path / "dvc.yaml").write_text(
        "stages: {pad: {deps: [data/fetch, code]}, train: {deps: [data/pad, code]}}"
    )
    code = in_tmp_path / "code" / "module.py"
    tokens = in_tmp_path / "data" / "fetch" / "train_tokens.npy"
    code.parent.mkdir()
    tokens.parent.mkdir(parents=True)
    code.write_text("")
    np.save(tokens, 1)

    def name(**changes: Any) -> str:
        train = small_params.train.model_copy(update=changes)
        return study.study_name(small_params.model_copy(update={"train": train}), config)

    first = name()
    assert name(units=77) == first  # it is searched
    assert name(epochs=77) != first
    np.save(tokens, 2)
    other_data = name()
    assert other_data != first
    code.write_text("1")
    assert name() not in (first, other_data)


def test_unusable_database_is_one_message() -> None:
    message = r"cannot be used.*unable to open.*\n.*--storage"
    with pytest.raises(StoreError, match=message), study.storage_errors():
        study.open_storage("sqlite:////nowhere/sweeps.db")


class EndedProcess:
    """A process that has ended."""

    def __init__(self, status: int) -> None:
        self.exitcode = status
        self.sentinel, other_end = os.pipe()
        os.close(other_end)

    def is_alive(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("status", "started", "message"),
    [
        (-signal.SIGKILL, workers.MAX_KILLED + 1, "6 workers were killed.*fewer --workers"),
        (1, 1, "A worker failed, see above.*continues the sweep"),
    ],
)
def test_worker_that_was_killed_is_replaced_a_few_times_and_one_that_failed_is_not(
    monkeypatch: pytest.MonkeyPatch, status: int, started: int, message: str
) -> None:
    processes: list[EndedProcess] = []

    def start(*_: object) -> EndedProcess:
        processes.append(EndedProcess(status))
        return processes[-1]

    monkeypatch.setattr(workers, "start_worker", start)
    with pytest.raises(UserError, match=message):
        workers.run_workers(None, 1, 1, lambda: 1)  # type: ignore[arg-type]
    assert len(processes) == started
