"""What the end of a cluster's parts means to the command that uses them."""

from typing import NamedTuple

import pytest
from distributed import KilledWorker

from sentiment.errors import UserError
from sentiment.search import workers


class Future(NamedTuple):
    """What Dask says of a worker's work."""

    status: str
    error: BaseException | None = None

    def exception(self) -> BaseException | None:
        return self.error


@pytest.mark.parametrize("status", ["cancelled", "lost"])
def test_a_scheduler_that_is_gone_is_one_message_with_the_way_on(status: str) -> None:
    with pytest.raises(UserError, match=r"scheduler does not answer any more.*this command again"):
        workers.require_end(Future(status))


def test_workers_that_die_one_after_the_other_are_one_message() -> None:
    error = KilledWorker("work", None, 3)
    with pytest.raises(UserError, match=r"A worker died, and each that took its place"):
        workers.require_end(Future("error", error))


def test_what_a_worker_raised_is_raised_here() -> None:
    with pytest.raises(UserError, match="did not arrive"):
        workers.require_end(Future("error", UserError("The reviews did not arrive")))


def test_work_that_ended_is_fine() -> None:
    workers.require_end(Future("finished"))


@pytest.mark.parametrize(("count", "each"), [(1, 8), (2, 4), (3, 2), (20, 1)])
def test_workers_share_the_cores_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, count: int, each: int
) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 8)
    assert workers.threads(count) == each
