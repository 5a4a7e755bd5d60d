"""Workers share a machine, end with their scheduler, and are replaced before they grow large."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple
from unittest.mock import patch

import distributed
import optuna
import pytest
from distributed import KilledWorker, get_worker

from extras.sweep import cluster, study, workers
from extras.sweep.trial import Task
from sentiment.errors import UserError
from sentiment.text import Reviews
from tests.extras.sweep.conftest import connected
from tests.services import Cluster, postgres


class Future(NamedTuple):
    """What Dask says of a worker's work."""

    status: str
    error: BaseException | None = None

    def result(self) -> None:
        if self.error:
            raise self.error


@pytest.mark.parametrize("status", ["cancelled", "lost"])
def test_a_scheduler_that_is_gone_is_one_message_with_the_way_on(status: str) -> None:
    with pytest.raises(UserError, match=r"scheduler does not answer any more.*this command again"):
        workers.result(Future(status))


def test_what_a_worker_died_of_is_no_error_of_its_work() -> None:
    error = KilledWorker("work", None, 3)
    assert workers.result(Future("error", error)) == workers.DIED


def test_what_a_worker_raised_is_raised_here() -> None:
    with pytest.raises(UserError, match="differs from the sweep"):
        workers.result(Future("error", UserError("A worker differs from the sweep")))


def test_work_that_ended_is_fine() -> None:
    assert workers.result(Future("finished")) is None


@pytest.mark.usefixtures("root_with_store")
def test_a_worker_is_replaced_after_so_many_trials(
    url: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = study.open_study("failing", url, task.options)
    study.want(found, 3)
    monkeypatch.setattr(workers, "TRIALS_A_PROCESS", 2)
    with cluster.local(1) as client:
        before = client.run(os.getpid)
        workers.search(client, task, {}, found, lambda: None)
        after = client.run(os.getpid)
    assert [trial.state.name for trial in study.slots(found)] == ["FAIL"] * 3
    assert "forget_bias" in str(study.slots(found)[0].user_attrs)
    assert len({*before.values(), *after.values()}) == 2


def slept(task: Task, _: Reviews, begun: Callable[[], object], trial: optuna.Trial) -> float:
    """A trial that sleeps in place of training, the first one for long; its worker's address."""
    begun()
    trial.set_user_attr("worker", get_worker().address)
    time.sleep(60 if trial.number == 0 and "long" in task.tags else 0.5)
    return 0.5


class LetSleep(distributed.WorkerPlugin):  # type: ignore[misc]
    """Lets workers sleep where they would train, and try a database again soon."""

    def setup(self, **_: object) -> None:
        patch.object(workers, "objective", slept).start()
        study.PAUSE_SECONDS = 3


def taken_by(found: optuna.Study) -> set[str]:
    """The workers that have taken a trial."""
    return {trial.user_attrs["worker"] for trial in found.trials if "worker" in trial.user_attrs}


@pytest.mark.usefixtures("root_with_store")
def test_a_worker_that_comes_later_takes_trials_too(url: str, task: Task) -> None:
    found = study.open_study("growing", url, task.options)
    study.want(found, 1000)
    with cluster.local(1) as client:
        client.register_plugin(LetSleep())

        def watch() -> None:
            if len(taken_by(found)) == len(client.cluster.workers) == 1:
                client.cluster.scale(2)
            if len(taken_by(found)) == 2:
                study.stop(found)

        workers.search(client, task, {}, found, watch)
    assert len(taken_by(found)) == 2


def test_workers_take_no_more_trials_of_a_study_that_is_stopped(url: str, task: Task) -> None:
    found = study.open_study("stopped", url, task.options)
    study.want(found, 100)

    def stop() -> None:
        if taken_by(found):
            study.stop(found)

    with cluster.local(1) as client:
        client.register_plugin(LetSleep())
        workers.search(client, task, {}, found, stop)
    assert 0 < len(study.completed(found)) < 20


@pytest.mark.usefixtures("root_with_store")
def test_a_worker_that_dies_is_noticed_within_a_minute_while_the_others_live(
    url: str, task: Task
) -> None:
    """By the command, since all workers may train; the trial is taken over as a new one."""
    found = study.open_study("dying", url, task.options)
    study.want(found, 2)
    long = task._replace(tags={"long": "yes"})
    killed: list[float] = []

    def watch() -> None:
        first = found.get_trials(deepcopy=False)[:1]
        if not killed and first and "worker" in first[0].user_attrs:
            os.kill(pids[first[0].user_attrs["worker"]], signal.SIGKILL)
            killed.append(time.monotonic())

    with cluster.local(2) as client:
        client.register_plugin(LetSleep())
        pids = client.run(os.getpid)
        workers.search(client, long, {}, found, watch)
    assert time.monotonic() - killed[0] < 60
    (taken_over,) = (each for each in found.trials if "retry_history" in each.system_attrs)
    assert taken_over.system_attrs["retry_history"] == [0]
    assert taken_over.state.name == "COMPLETE"


def test_no_task_carries_the_password_of_the_database(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: list[str] = []
    with postgres("sesame") as database, ExitStack() as stack:
        address = database.address.replace("test@", "test:sesame@")
        monkeypatch.setenv(study.STORAGE, address)
        found = study.open_study("secret", address, task.options)
        study.want(found, 1)
        client = stack.enter_context(cluster.local(1))

        def watch() -> None:
            tasks = client.cluster.scheduler.tasks.values()
            arguments.extend(repr((each.run_spec.args, each.run_spec.kwargs)) for each in tasks)

        client.register_plugin(LetSleep())
        workers.search(client, task, {}, found, watch)
    assert any("secret" in each for each in arguments)
    assert not any("sesame" in each for each in arguments)


def test_a_database_that_restarts_meanwhile_loses_no_trial(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres() as database, ExitStack() as stack:
        monkeypatch.setenv(study.STORAGE, database.address)
        client = stack.enter_context(cluster.local(2))
        found = study.open_study("restarted", database.address, task.options)
        study.want(found, 20)
        client.register_plugin(LetSleep())
        restarts = iter([partial(database.restart, 4)])  # longer than a trial

        def watch() -> None:
            if taken_by(found):
                next(restarts, lambda: None)()

        look = partial(study.patiently, watch)
        workers.search(client, task, {}, found, look)
        assert study.is_over(found)
        assert [each.state.name for each in study.slots(found)] == ["COMPLETE"] * 20


def test_workers_elsewhere_are_replaced_and_come_later(
    url: str, task: Task, elsewhere: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = study.open_study("elsewhere", url, task.options)
    study.want(found, 4)
    monkeypatch.setattr(workers, "TRIALS_A_PROCESS", 1)
    with connected(elsewhere) as (client, required):
        elsewhere.start_worker("later")
        client.wait_for_workers(2)
        workers.search(client, task, required, found, lambda: None)
    # all in the first turn: no worker is replaced while it trains
    assert [trial.state.name for trial in found.trials] == ["FAIL"] * 4
    folder = elsewhere.output.parent
    assert {"worker-0", "later"} == {path.parent.name for path in folder.glob("*/mlflow.db")}


def test_a_scheduler_that_is_killed_is_one_message(
    url: str, task: Task, elsewhere: Cluster
) -> None:
    found = study.open_study("killed", url, task.options)
    study.want(found, 1000)
    with connected(elsewhere) as (client, required):

        def kill() -> None:
            if found.trials:
                elsewhere.scheduler.kill()

        with pytest.raises(UserError, match="scheduler does not answer any more"):
            workers.search(client, task, required, found, kill)


def test_a_worker_that_differs_from_the_sweep_does_not_train(url: str, task: Task) -> None:
    found = study.open_study("differing", url, task.options)
    study.want(found, 1)
    message = r"differs from the sweep: commit [\w ]+, not 0123abc"
    with cluster.local(1) as client, pytest.raises(UserError, match=message):
        workers.search(client, task, {"commit": "0123abc"}, found, lambda: None)
    assert not found.trials


def test_a_worker_whose_reviews_were_changed_meanwhile_does_not_train(url: str, task: Task) -> None:
    found = study.open_study("changed", url, task.options)
    study.want(found, 1)
    other = task._replace(reviews="0123abc")
    message = "data/fetch has other reviews than the sweep began with"
    with cluster.local(1) as client, pytest.raises(UserError, match=message):
        workers.search(client, other, {}, found, lambda: None)
    assert not found.trials
