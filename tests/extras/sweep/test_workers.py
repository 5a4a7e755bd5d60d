"""Workers take trials until all have ended, whatever becomes of them and of the database."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import distributed
import optuna
import pytest

from extras.common import cluster
from extras.sweep import environment, study, workers
from extras.sweep.sweep import Sweep
from sentiment.errors import UserError
from sentiment.tokenizer import Reviews
from tests.extras.sweep.test_cluster import OWN
from tests.project import ROOT, until
from tests.services import dask, postgres


def slept(_: Sweep, __: Reviews, begun: Callable[[], object], trial: optuna.Trial) -> float:
    """A trial that sleeps in place of training."""
    begun()
    trial.set_user_attr("process", os.getpid())
    trial.set_user_attr("folder", Path.cwd().name)
    time.sleep(0.3)
    return 0.5


class LetSleep(distributed.WorkerPlugin):  # type: ignore[misc]
    """Lets workers sleep where they would train, and try a database again soon."""

    def setup(self, **_: object) -> None:
        patch.object(workers, "objective", slept).start()
        study.PAUSE_SECONDS = study.HEARTBEAT_SECONDS = 1


def noted(searched: optuna.Study, name: str) -> list[Any]:
    """What trials have noted of their workers."""
    return [trial.user_attrs[name] for trial in searched.trials if name in trial.user_attrs]


def open_study(sweep: Sweep, trials: int) -> optuna.Study:
    searched = study.open_study("some", sweep.options)
    study.want(searched, trials)
    return searched


@pytest.mark.usefixtures("url")
def test_workers_elsewhere_come_later_are_replaced_and_take_no_more_without_their_command(
    small_sweep: Sweep,
    fetched: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And a command whose scheduler is killed says so."""
    monkeypatch.setattr(workers, "TRIALS_A_PROCESS", 2)
    searched, required = open_study(small_sweep, 1000), environment.environment()
    folder = tmp_path_factory.mktemp("cluster")
    with dask(folder, fetched, workers=1, PYTHONPATH=str(ROOT)) as elsewhere:
        with distributed.Client(elsewhere.address, timeout=300) as client:
            client.wait_for_workers(1)

        def watch() -> None:
            folders = {*noted(searched, "folder")}
            if folders and len(elsewhere.workers) == 1:
                elsewhere.start_worker("later")
            if len(folders) == 2 and len({*noted(searched, "process")}) > 3:
                raise KeyboardInterrupt

        with cluster.connected(elsewhere.address, *OWN) as client:
            client.register_plugin(LetSleep())
            with pytest.raises(KeyboardInterrupt):
                workers.search(client, small_sweep, required, searched, watch)

        def stands_still() -> bool:
            before = len(searched.trials)
            time.sleep(2)
            states = [trial.state.name for trial in searched.trials]
            return states == ["COMPLETE"] * before  # no worker is replaced while it trains

        until(stands_still, seconds=60)
        before = [*searched.trials]
        assert len(before) < 100
        by_process = noted(searched, "process")
        assert max(map(by_process.count, by_process)) == 2

        def kill_scheduler() -> None:
            if len(searched.trials) > len(before):
                elsewhere.scheduler.kill()

        with (
            cluster.connected(elsewhere.address, *OWN) as client,
            pytest.raises(UserError, match="scheduler does not answer any more"),
        ):
            workers.search(client, small_sweep, required, searched, kill_scheduler)


@pytest.mark.usefixtures("fetched")
def test_a_database_that_restarts_loses_no_trial(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "PAUSE_SECONDS", 1)
    monkeypatch.setattr(study, "GRACE_SECONDS", 5)
    with postgres() as database:
        monkeypatch.setenv(study.STORAGE, database.address)
        restarts = iter([partial(database.restart, 2)])  # longer than a trial
        with cluster.local(2) as client:
            searched = open_study(small_sweep, 10)
            client.register_plugin(LetSleep())

            def watch() -> None:
                if noted(searched, "process"):
                    next(restarts, lambda: None)()

            workers.search(client, small_sweep, (), searched, watch)
            assert [trial.state.name for trial in study.slots(searched)] == ["COMPLETE"] * 10
