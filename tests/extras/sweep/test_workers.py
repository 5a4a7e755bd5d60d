"""Workers take trials until all have ended, whatever becomes of them and of the database."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import distributed
import optuna
import pytest
from distributed import KilledWorker

from extras.sweep import cluster, study, workers
from extras.sweep.sweep import Sweep
from sentiment.errors import UserError
from sentiment.text import Reviews
from tests.project import until
from tests.services import Cluster, postgres


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        ("cancelled", None, r"scheduler does not answer any more.*this command again"),
        ("lost", None, r"scheduler does not answer any more.*this command again"),
        ("error", KilledWorker("work", None, 3), r"A worker died.*this command again"),
        ("error", UserError("A worker differs"), r"^A worker differs$"),
    ],
)
def test_work_that_cannot_go_on_is_one_message(
    status: str, error: BaseException | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        workers.result(Mock(status=status, **{"result.side_effect": error}))


def slept(sweep: Sweep, _: Reviews, begun: Callable[[], object], trial: optuna.Trial) -> float:
    """A trial that sleeps in place of training, the first one for long if its sweep is so."""
    begun()
    trial.set_user_attr("process", os.getpid())
    trial.set_user_attr("folder", Path.cwd().name)
    time.sleep(60 if trial.number == 0 and "long" in sweep.tags else 0.3)
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


class EnoughError(Exception):
    """Ends a search as an interrupt does."""


def test_workers_elsewhere_come_later_are_replaced_and_take_no_more_without_their_command(
    small_sweep: Sweep, elsewhere: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a command whose scheduler is killed says so."""
    monkeypatch.setattr(workers, "TRIALS_A_PROCESS", 2)
    searched, required = open_study(small_sweep, 1000), cluster.environment()

    def watch() -> None:
        folders = {*noted(searched, "folder")}
        if folders and len(elsewhere.workers) == 1:
            elsewhere.start_worker("later")
        if len(folders) == 2 and len({*noted(searched, "process")}) > 3:
            raise EnoughError

    with cluster.connected(elsewhere.address, required) as client:
        client.register_plugin(LetSleep())
        with pytest.raises(EnoughError):
            workers.search(client, small_sweep, required, searched, watch)
    # none is in its second turn: no worker is replaced while it trains
    until(lambda: {trial.state.name for trial in searched.trials} == {"COMPLETE"}, seconds=30)
    before = [*searched.trials]
    time.sleep(2)
    assert len(searched.trials) == len(before) < 100
    by_process = noted(searched, "process")
    assert max(map(by_process.count, by_process)) == 2

    def kill() -> None:
        if len(searched.trials) > len(before):
            elsewhere.scheduler.kill()

    with (
        cluster.connected(elsewhere.address, required) as client,
        pytest.raises(UserError, match="scheduler does not answer any more"),
    ):
        workers.search(client, small_sweep, required, searched, kill)


@pytest.mark.usefixtures("fetched", "url")
def test_a_worker_that_dies_is_noticed_within_a_minute_while_the_others_live(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial is taken over as a new one."""
    assert study.GRACE_SECONDS + workers.WATCH_SECONDS < 60
    monkeypatch.setattr(study, "GRACE_SECONDS", 6)
    searched = open_study(small_sweep, 2)
    killed: list[float] = []

    def watch() -> None:
        first = searched.get_trials(deepcopy=False)[:1]
        if not killed and first and "process" in first[0].user_attrs:
            os.kill(first[0].user_attrs["process"], signal.SIGKILL)
            killed.append(time.monotonic())

    with cluster.local(2) as client:
        client.register_plugin(LetSleep())
        workers.search(client, small_sweep._replace(tags={"long": "yes"}), (), searched, watch)
    assert time.monotonic() - killed[0] < 30
    (taken_over,) = (trial for trial in searched.trials if "retry_history" in trial.system_attrs)
    assert taken_over.system_attrs["retry_history"] == [0]
    assert taken_over.state.name == "COMPLETE"


@pytest.mark.usefixtures("fetched")
def test_a_database_that_restarts_loses_no_trial_and_no_task_carries_its_password(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "PAUSE_SECONDS", 1)
    arguments: list[str] = []
    with postgres("sesame") as database:
        monkeypatch.setenv(study.STORAGE, database.address.replace("test@", "test:sesame@"))
        restarts = iter([partial(database.restart, 2)])  # longer than a trial
        with cluster.local(2) as client:
            searched = open_study(small_sweep, 10)
            client.register_plugin(LetSleep())

            def watch() -> None:
                tasks = client.cluster.scheduler.tasks.values()
                arguments.extend(repr((t.run_spec.args, t.run_spec.kwargs)) for t in tasks)
                if noted(searched, "process"):
                    next(restarts, lambda: None)()

            workers.search(client, small_sweep, (), searched, watch)
            assert study.is_over(searched)
            assert [trial.state.name for trial in study.slots(searched)] == ["COMPLETE"] * 10
    assert any("sweep-x" in text for text in arguments)
    assert not any("sesame" in text for text in arguments)
