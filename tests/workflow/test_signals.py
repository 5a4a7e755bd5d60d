"""A signal ends a process at once, but cuts nothing short that must be whole."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from workflow.signals import Interrupted, deferred, raising

pytestmark = pytest.mark.usefixtures("same_handlers")


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def interrupted(work: Callable[[], object]) -> Interrupted:
    """How the work ends in a process whose signals are raised."""
    with pytest.raises(Interrupted) as raised, raising():
        work()
    return raised.value


def test_a_signal_in_a_block_that_defers_it_is_raised_at_the_end_of_the_outermost() -> None:
    steps = []

    def work() -> None:
        with deferred():
            with deferred():
                end()
                steps.append("inner")
            steps.append("outer")
        steps.append("after")

    interrupted(work)
    assert steps == ["inner", "outer"]


def test_the_clean_up_after_a_signal_is_not_interrupted() -> None:
    """Not by a block that defers, nor where an error is handled, however long it takes."""
    steps = []

    def work() -> None:
        try:
            end()
        finally:
            with deferred():
                time.sleep(0.3)
            with suppress(ZeroDivisionError):
                raise ZeroDivisionError
            steps.append("cleaned")

    interrupted(work)
    assert steps == ["cleaned"]


@pytest.mark.parametrize(("again", "after"), [(0.01, []), (10, ["went on"])])
def test_a_signal_that_is_lost_is_raised_again_or_at_the_end(
    monkeypatch: pytest.MonkeyPatch, again: float, after: list[str]
) -> None:
    """Python forgets what is raised while it finalizes an object."""
    monkeypatch.setattr("workflow.signals.AGAIN_SECONDS", again)
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)  # pytest's fails if interrupted
    steps = []

    class Finalized:
        def __del__(self) -> None:
            end()

    def work() -> None:
        Finalized()
        time.sleep(0.1)
        steps.append("went on")

    interrupted(work)
    assert steps == after


def test_after_the_block_nothing_is_raised() -> None:
    """Outputs that a stage puts back are not left half."""
    with raising():
        pass
    end()
