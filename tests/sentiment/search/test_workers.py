"""Workers share a machine, end with their scheduler, and are replaced before they grow large."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from distributed import KilledWorker

from sentiment.errors import UserError
from sentiment.params import check_params
from sentiment.search import study, workers
from sentiment.search.trial import Task, digest
from sentiment.serving.sequences import Reviews
from tests.conftest import defaults
from tests.project import merged


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


def test_workers_that_die_one_after_the_other_are_one_message() -> None:
    error = KilledWorker("work", None, 3)
    with pytest.raises(UserError, match=r"A worker died, and each that took its place"):
        workers.result(Future("error", error))


def test_what_a_worker_raised_is_raised_here() -> None:
    with pytest.raises(UserError, match="did not arrive"):
        workers.result(Future("error", UserError("The reviews did not arrive")))


def test_work_that_ended_is_fine() -> None:
    assert workers.result(Future("finished")) is None


@pytest.mark.parametrize(("count", "each"), [(1, 8), (2, 4), (3, 2), (20, 1)])
def test_workers_share_the_cores_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, count: int, each: int
) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 8)
    assert workers.threads(count) == each


def test_a_worker_is_replaced_after_so_many_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With trials that fail at once, since their values do not go together."""
    space = {"train.forget_bias": {"choices": [2.0, 3.0]}}
    changes = {"train": {"cell": "gru"}, "sweep": {"space": space}}
    params = check_params(merged(defaults(), changes), "params.yaml")
    none = Reviews(np.zeros(0, np.uint16), np.zeros(1, np.int64), np.zeros(0, np.uint8))
    task = Task(params, {}, none, {}, {}, "parent", "", digest(none))
    url = f"sqlite:///{tmp_path}/sweeps.db"
    found = study.open_study("failing", url, params.sweep)
    study.want(found, 3)
    monkeypatch.setattr(workers, "TRIALS_A_PROCESS", 2)
    with workers.local(1) as client:
        workers.share(client, task)
        before = client.run(os.getpid)
        workers.search(client, task.parent, "failing", url, lambda: None)
        after = client.run(os.getpid)
    assert [trial.state.name for trial in study.slots(found)] == ["FAIL"] * 3
    assert "forget_bias" in str(study.slots(found)[0].user_attrs)
    assert len({*before.values(), *after.values()}) == 2
